"""Choose which rows train and which decide when to stop: a split, folds, or neither."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.config import Config
from afina.table import (
    Observations,
    Target,
    assign_folds,
    count_units,
    find_repeats,
    group_ids,
    row_ids,
    split_rows,
    time_ranks,
)
from afina.tabular.preparation.given import Given
from afina.tabular.preparation.rows import Floats, Integers

Targets = Integers | Floats
LEAST_TO_SPLIT = 40
"""With fewer distinct rows, none is held out unless a group or time column is set."""

_OFTEN = 20  # above this mean count per distinct row, rows may be repeated observations
_CONTRADICTED = 1.25  # with at least this mean number of targets per distinct row, they are
_NOTED = 0.05  # above this share of rows with an identical one, a note says so
_VAL_FRAC = 0.2


@dataclass(frozen=True)
class Sides:
    """Which rows of the table train and which decide when to stop.

    Args:
        train: row numbers, ascending.
        val: row numbers, ascending. None: there is a separate validation table, or no validation,
            or the training rows are in folds.
        how: a sentence for users.
        folds: the fold of each training row. None: there are no folds.
        observations: the number of rows, without copies, and of distinct combinations of features.
            None: identical rows are not repeated observations.
        notes: sentences about decisions that users may not expect.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64] | None
    how: str
    folds: NDArray[np.int64] | None = None
    observations: Observations | None = None
    notes: tuple[str, ...] = ()


def choose_sides(given: Given, target: Target, config: Config, *, has_val: bool) -> Sides:
    """Assign the rows that have a target and a weight to training or validation.

    Args:
        given: all rows.
        target: their target, as read.
        config: all settings.
        has_val: validation rows were passed separately.

    Raises:
        SchemaError: one side would be empty, or a time cannot be read.
    """
    kept = np.flatnonzero(~target.missing)
    if has_val:
        return Sides(kept, None, f"all {len(kept):,} rows train; a separate table validates")
    features = _take(given.features, kept)
    groups = None if given.groups is None else _take(given.groups, kept)
    identity = features if groups is None else features.append_column("\x00group", groups)
    kinds = {**given.kinds, **config.table.kinds}
    categorical = [name for name, kind in kinds.items() if kind == "categorical"]
    decided = keep_together(identity, target.values[kept], categorical=categorical)
    if groups is not None:  # the user has decided by naming them
        decided = Decided(decided.units)
    ids, times = decided.units, given.times
    if groups is None and times is None and ids.max() + 1 < LEAST_TO_SPLIT:
        how = f"all {len(kept):,} rows train; nothing is held out"
        return Sides(kept, None, how, observations=decided.observations)
    sides = divide_units(
        kept,
        ids,
        config,
        strata=target.values[kept].astype(np.int64) if target.classes else None,
        groups=None if groups is None else group_ids(groups),
        times=None
        if times is None
        else time_ranks(_take(times, kept), name=str(given.roles.time), source=given.source),
    )
    how = sides.how if decided.observations is None else sides.how.replace("distinct rows", "rows")
    return replace(sides, how=how, observations=decided.observations, notes=decided.notes)


@dataclass(frozen=True)
class Decided:
    """What was decided about identical rows.

    Args:
        units: rows with the same number stay on one side.
        observations: see `Sides`.
        notes: see `Sides`.
    """

    units: Integers
    observations: Observations | None = None
    notes: tuple[str, ...] = ()


def keep_together(
    features: pa.Table, target: Targets, *, categorical: Collection[str] = ()
) -> Decided:
    """Number the units that a split must not separate, and decide what identical rows are.

    Identical rows stay together where they are copies, and are units of their own where they are
    observations that turned out alike: see `find_repeats`. The target does not make rows different.
    If it did, rows identical to a held-out row would train with other targets; where a few
    combinations of features repeat often, that would teach the opposite of what validation checks.

    Args:
        features: the rows' features, and their group if they have one.
        target: class numbers or values.
        categorical: columns that hold categories, whatever their cells look like.
    """
    repeats = find_repeats(features, target, categorical=categorical)
    n_rows, units, n_copies = len(target), repeats.units, repeats.n_copies
    apart = repeats.meaning == "observations"
    if not apart and repeats.n_distinct < max(LEAST_TO_SPLIT, n_rows / _OFTEN):
        with_target = features.append_column("\x00target", pa.chunked_array([target]))
        n_with_target = row_ids(with_target).max() + 1
        if n_with_target >= _CONTRADICTED * repeats.n_distinct:
            apart, units = True, np.arange(n_rows)
    alike = (
        f"{repeats.n_identical:,} of {n_rows:,} rows are identical in all features to another row"
    )
    advice = "Name a group column to keep other rows together"
    if apart:
        each = f" ({n_copies} copies of each)" * (n_copies > 1)
        note = f"{alike}: they are treated as repeated observations{each}, held out one by one. {advice}"
        return Decided(units, Observations(n_rows // n_copies, repeats.n_distinct), (note,))
    if repeats.meaning == "few":
        noted = repeats.n_identical > _NOTED * n_rows
        return Decided(units, notes=(f"{alike}: such rows are held out together",) * noted)
    return Decided(
        units, notes=(f"{alike}: they are treated as copies, held out together. {advice}",)
    )


def divide_units(
    kept: Integers,
    ids: Integers,
    config: Config,
    *,
    strata: Integers | None = None,
    groups: Integers | None = None,
    times: Integers | None = None,
) -> Sides:
    """Put rows into folds, or hold some of them out; see `assign_folds` and `split_rows`.

    Args:
        kept: row numbers, one for each id.
        ids: the numbers that `keep_together` returned.
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


def _take(part: Any, rows: Integers) -> Any:
    """Take rows of a table or of one column."""
    if isinstance(part, pa.Table) and not part.num_columns:  # `take` would lose the row count
        return part.slice(0, len(rows))
    return part if len(rows) == len(part) else part.take(pa.array(rows))
