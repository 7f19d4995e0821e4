"""From a table to rows that a network trains on: target, split, schema, codes, in this order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.config import Config
from afina.errors import SchemaError
from afina.table import (
    Features,
    Label,
    Schema,
    Target,
    assign_folds,
    count_units,
    encode,
    group_ids,
    infer_schema,
    match_target,
    read_target,
    row_ids,
    split_rows,
    time_ranks,
)
from afina.tabular.preparation.roles import (
    Roles,
    check_there,
    find_roles,
    read_weights,
    without_unweighted,
)
from afina.tabular.preparation.rows import Rows

LEAST_TO_SPLIT = 40
"""With fewer distinct rows than this nothing is held out unless it was asked for."""

_OFTEN = 20  # times that each different row stands in a table, in the mean
_CONTRADICTED = 1.25  # targets of each different row, in the mean

_VAL_FRAC = 0.2


@dataclass(frozen=True)
class Sides:
    """Which rows of the table train and which decide when to stop.

    Args:
        train: row numbers, ascending.
        val: row numbers, ascending; none where a table of its own validates, or nothing does, or
            the training rows are in folds.
        how: a sentence.
        folds: the fold of each training row; none: there are no folds.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64] | None
    how: str
    folds: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Prepared:
    """Everything learned from a table before there is a network.

    Args:
        schema: learned from the training rows alone.
        target: the target column's name.
        task: "binary", "multiclass" or "regression".
        classes: label of each class number, letter by letter; empty for regression.
        train: training rows, as they stand in the table.
        val: rows that decide when to stop; with folds, the training rows themselves.
        sides: how the table's rows were assigned.
        n_rows: rows of the table.
        n_left_out: rows without a target or with weight 0, validation table included.
        notes: what was done that may not be expected.
    """

    schema: Schema
    target: str
    task: str
    classes: tuple[Label, ...]
    train: Rows
    val: Rows | None
    sides: Sides
    n_rows: int
    n_left_out: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TableOf:
    """A table and its name in messages."""

    table: pa.Table
    source: str


def prepare_table(given: TableOf, target: str, config: Config, val: TableOf | None) -> Prepared:
    """Learn what there is to learn from a table before training.

    Args:
        given: the table; its rows train, or are split.
        target: name of the target column.
        config: all settings.
        val: a table of validation rows; none: some of the table's rows are held out.

    Raises:
        SchemaError: what does not fit, with file, row and column.
    """
    table, source = given.table, given.source
    roles = find_roles(table, target, config.table, source)
    weights = read_weights(table, roles.weight, source)
    found = read_target(
        without_unweighted(table.column(target), weights),
        task=config.table.task,
        name=target,
        source=source,
        missing_values=config.table.missing_values,
        allow_single=val is not None,
    )
    kept = np.flatnonzero(~found.missing)
    codes = found.values if found.task != "regression" else None
    sides = divide(table, kept, roles, config, codes=codes, source=source, has_val=val is not None)
    schema = learn_schema(given, sides.train, weights, roles, config)
    features = encode(
        table.drop_columns(list(roles.no_features)), schema, source=source, tolerant=True
    )
    train = take_rows(features, found, weights, sides.train, sides.folds)
    check_target(train, found, given.source, target)
    notes = [*left_out_notes(found, weights, source), *features.notes]
    n_left_out = table.num_rows - len(kept)
    held_out = None if sides.folds is None else train
    if sides.val is not None:
        held_out = take_rows(features, found, weights, sides.val)
    if val is not None:
        held_out, more, n_more = read_val(val, schema, roles, found, config)
        notes += more
        n_left_out += n_more
    if held_out is None:
        notes.append(
            f"nothing is held out, because there are fewer than {LEAST_TO_SPLIT} different rows: "
            "training goes on for max_epochs, and scores are on the training rows"
        )
    return Prepared(
        schema,
        target,
        found.task,
        found.classes,
        train,
        held_out,
        sides,
        table.num_rows,
        n_left_out,
        tuple(notes),
    )


def divide(
    table: pa.Table,
    kept: NDArray[np.int64],
    roles: Roles,
    config: Config,
    *,
    codes: NDArray[np.int64] | NDArray[np.float64] | None,
    source: str,
    has_val: bool,
) -> Sides:
    """Assign the rows that are kept to training or validation."""
    if has_val:
        how = f"all {len(kept):,} rows train, a table of its own validates"
        return Sides(kept, None, how)
    seen = table.take(pa.array(kept)) if len(kept) < table.num_rows else table
    apart = [roles.target] if roles.weight is None else [roles.target, roles.weight]
    ids = keep_together(seen.drop_columns(apart), seen.column(roles.target))
    asked = roles.group is not None or roles.time is not None
    if ids.max() + 1 < LEAST_TO_SPLIT and not asked:
        return Sides(kept, None, f"all {len(kept):,} rows train, nothing is held out")
    groups = times = None
    if roles.group is not None:
        groups = group_ids(seen.column(roles.group))
    if roles.time is not None:
        times = time_ranks(seen.column(roles.time), name=roles.time, source=source)
    strata = None if codes is None else codes[kept].astype(np.int64)
    return divide_units(kept, ids, config, strata=strata, groups=groups, times=times)


def keep_together(features: pa.Table, target: pa.ChunkedArray) -> NDArray[np.int64]:
    """Number what a split must not part: rows that are equal in all but target and weight.

    If rows went by their target too, equals of a row that is held out would train with the other
    targets: where few features repeat often, that teaches the contrary of what validation asks.

    Where different rows are few, or each stands there often, and their targets differ, equal rows
    are no copies but observations, and each stands for itself.
    """
    ids = row_ids(features)
    n_different = ids.max() + 1
    if n_different >= max(LEAST_TO_SPLIT, len(ids) / _OFTEN):
        return ids
    n_answers = row_ids(features.append_column("\x00target", target)).max() + 1
    return np.arange(len(ids)) if n_answers >= _CONTRADICTED * n_different else ids


def divide_units(
    kept: NDArray[np.int64],
    ids: NDArray[np.int64],
    config: Config,
    *,
    strata: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
    times: NDArray[np.int64] | None = None,
) -> Sides:
    """Put rows into folds, or hold some of them out; see `assign_folds` and `split_rows`.

    Args:
        ids: from `keep_together`.
        kept: row numbers, one for each of the ids.
    """
    seed, n_folds = config.train.seed, config.n_folds
    if n_folds > 1 and count_units(ids, groups) >= n_folds:
        folds = assign_folds(ids, n_folds, seed=seed, strata=strata, groups=groups)
        return Sides(kept, None, folds.how, folds.of)
    split = split_rows(
        ids,
        val_frac=config.table.val_frac or _VAL_FRAC,
        seed=seed,
        strata=strata,
        groups=groups,
        times=times,
    )
    return Sides(kept[split.train], kept[split.val], split.how)


def learn_schema(
    given: TableOf,
    train: NDArray[np.int64],
    weights: NDArray[np.float64],
    roles: Roles,
    config: Config,
) -> Schema:
    """Learn the columns from the training rows, and make sure that there is something to see."""
    schema = infer_schema(
        given.table,
        rows=train,
        weights=None if roles.weight is None else weights,
        kinds=config.table.kinds,
        missing_values=config.table.missing_values,
        min_count=config.preprocess.min_count,
        skip=roles.no_features,
        source=given.source,
    )
    if not (schema.num_columns or schema.cat_columns or schema.time_columns):
        why = "; ".join(f"{column.name!r}: {column.why}" for column in schema.columns[:5])
        raise SchemaError(
            f"{given.source}: the table must have a column to learn from besides the target, "
            f"however: {'none is left (' + why + ')' if why else 'it has none'}. "
            "Add columns, or name a column's kind with --kind COL=KIND (in Python: kinds=...)."
        )
    return schema


def take_rows(
    features: Features,
    target: Target,
    weights: NDArray[np.float64],
    rows: NDArray[np.int64],
    folds: NDArray[np.int64] | None = None,
) -> Rows:
    """Take some rows of a table that was turned into arrays."""
    return Rows(
        features.x_num[rows],
        features.x_cat[rows],
        features.x_time[rows],
        target.values[rows],
        weights[rows],
        folds,
    )


def read_val(
    val: TableOf, schema: Schema, roles: Roles, learned: Target, config: Config
) -> tuple[Rows, list[str], int]:
    """Turn a table of validation rows into arrays by what was learned from the training rows.

    Returns:
        The rows, notes, and how many rows were left out.
    """
    found, weights, kept = read_answers(
        val, roles.target, learned.task, learned.classes, roles.weight, config.table.missing_values
    )
    there = [name for name in roles.no_features if name in val.table.column_names]
    features = encode(val.table.drop_columns(there), schema, source=val.source, tolerant=True)
    notes = [*left_out_notes(found, weights, val.source), *features.notes]
    return take_rows(features, found, weights, kept), notes, val.table.num_rows - len(kept)


def read_answers(
    given: TableOf,
    target: str,
    task: str,
    classes: Sequence[Label],
    weight: str | None,
    missing_values: Sequence[str],
) -> tuple[Target, NDArray[np.float64], NDArray[np.int64]]:
    """Read target and weights of a table by what a model learned.

    Returns:
        The target, the weights, and which rows have both.

    Raises:
        SchemaError: a column that is not there, a label not learned, or no row with a target.
    """
    check_there(given.table, target, "target", given.source)
    if weight is not None:
        check_there(given.table, weight, "weight", given.source)
    weights = read_weights(given.table, weight, given.source)
    found = match_target(
        without_unweighted(given.table.column(target), weights),
        task=task,  # type: ignore[arg-type] # one of the three by construction
        classes=classes,
        name=target,
        source=given.source,
        missing_values=missing_values,
    )
    kept = np.flatnonzero(~found.missing)
    if not len(kept):
        raise SchemaError(
            f"{given.source}: target {target!r} must have values, however: every cell is missing."
        )
    return found, weights, kept


def check_target(train: Rows, found: Target, source: str, target: str) -> None:
    """Raise a SchemaError if the training rows leave nothing to learn."""
    if len(np.unique(train.y)) >= 2:
        return
    value = found.classes[int(train.y[0])] if found.classes else train.y[0]
    raise SchemaError(
        f"{source}: target {target!r} must vary among the training rows, however: it is {value!r} "
        f"in all {len(train):,} of them. Split in another way, or give more rows."
    )


def left_out_notes(found: Target, weights: NDArray[np.float64], source: str) -> list[str]:
    """Say how many rows have no target or no weight."""
    n_without = int((weights == 0).sum())
    n_missing = int(found.missing.sum()) - n_without
    notes = []
    if n_missing:
        rows = "1 row is" if n_missing == 1 else f"{n_missing:,} rows are"
        notes.append(f"{source}: {rows} left out, because the target is missing")
    if n_without:
        rows = "1 row is" if n_without == 1 else f"{n_without:,} rows are"
        notes.append(f"{source}: {rows} left out, because the weight is 0")
    return notes
