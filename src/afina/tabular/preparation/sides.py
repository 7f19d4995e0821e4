"""Choose which rows train and which decide when to stop: a split, folds, or neither."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.config import Config
from afina.table import (
    Target,
    assign_folds,
    count_units,
    group_ids,
    row_ids,
    split_rows,
    time_ranks,
)
from afina.tabular.preparation.given import Given
from afina.tabular.preparation.rows import Integers

LEAST_TO_SPLIT = 40
"""With fewer distinct rows, none is held out unless a group or time column is set."""

_OFTEN = 20  # above this mean count per distinct row, rows may be repeated observations
_CONTRADICTED = 1.25  # and from this mean number of targets per distinct row on, they are
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
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64] | None
    how: str
    folds: NDArray[np.int64] | None = None


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
        return Sides(kept, None, f"all {len(kept):,} rows train, a separate table validates")
    features = _take(given.features, kept)
    groups = None if given.groups is None else _take(given.groups, kept)
    identity = features if groups is None else features.append_column("\x00group", groups)
    ids = keep_together(identity, target.values[kept])
    if ids.max() + 1 < LEAST_TO_SPLIT and groups is None and given.times is None:
        return Sides(kept, None, f"all {len(kept):,} rows train, nothing is held out")
    times = given.times
    return divide_units(
        kept,
        ids,
        config,
        strata=target.values[kept].astype(np.int64) if target.classes else None,
        groups=None if groups is None else group_ids(groups),
        times=None
        if times is None
        else time_ranks(_take(times, kept), name=str(given.roles.time), source=given.source),
    )


def keep_together(features: pa.Table, target: NDArray[np.int64] | NDArray[np.float64]) -> Integers:
    """Number the groups of rows that a split must not separate: rows with identical features.

    The target and the weight are ignored. Otherwise, rows identical to a held-out row, but with
    other targets, would train; where few features repeat often, that teaches the opposite of the
    validation targets.

    Where there are few distinct rows, or each occurs often, and their targets differ, identical
    rows are not copies but repeated observations, and each gets its own number.
    """
    ids = row_ids(features)
    n_distinct = ids.max() + 1
    if n_distinct >= max(LEAST_TO_SPLIT, len(ids) / _OFTEN):
        return ids
    with_target = features.append_column("\x00target", pa.chunked_array([target]))
    n_with_target = row_ids(with_target).max() + 1
    return np.arange(len(ids)) if n_with_target >= _CONTRADICTED * n_distinct else ids


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
