"""Choose which rows train and which decide when to stop."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afina.errors import SchemaError


@dataclass(frozen=True)
class Split:
    """The training rows and the validation rows, each in ascending order.

    Args:
        train: row numbers, from 0.
        val: row numbers, from 0; none of them is in `train`.
        how: one sentence that says how the rows were split.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    how: str


def split_rows(
    ids: NDArray[np.int64],
    *,
    val_frac: float,
    seed: int,
    strata: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
    times: NDArray[np.int64] | None = None,
) -> Split:
    """Hold out distinct rows, whole groups, or the latest rows.

    Identical rows are always on the same side, and repeating a row moves no other row: the draw is
    among distinct rows or groups, in the order of their first rows.

    Args:
        ids: from `row_ids`. Shape (n_rows,).
        val_frac: share of distinct rows (or groups) to hold out, in (0, 1).
        seed: seed of the draw; not used with `times`.
        strata: class codes; the same share of each class is held out, and each class keeps a row in
            training.
        groups: from `group_ids`; each distinct row with -1 is its own group.
        times: from `time_ranks`; the latest rows are held out, and equal times stay together.

    Raises:
        SchemaError: one side would be empty.
    """
    if not 0 < val_frac < 1:
        raise ValueError(f"val_frac must be in (0, 1); got {val_frac=}.")
    units, n_units, noun = _number_units(ids, groups)
    if n_units < 2:
        raise SchemaError(
            f"a split needs at least two {noun}, one for each side",
            got=str(n_units),
            fix="Add rows, or pass a table of validation rows.",
        )
    if times is not None:
        held_out = _latest(units, n_units, times, val_frac)
        how = f"the latest {noun} are held out"
    else:
        held_out = _draw(_unit_classes(ids, units, n_units, strata), val_frac, seed)
        how = f"{noun} drawn at random" + (
            ", with the same share of each class" * (strata is not None)
        )
    side = held_out[units]
    train, val = np.flatnonzero(~side), np.flatnonzero(side)
    return Split(train, val, f"{how}: {len(train)} rows to train, {len(val)} held out")


@dataclass(frozen=True)
class Folds:
    """The fold of each row.

    Args:
        of: fold number of each row, from 0. Shape (n_rows,).
        how: one sentence that says how the rows were divided.
    """

    of: NDArray[np.int64]
    how: str


def count_units(ids: NDArray[np.int64], groups: NDArray[np.int64] | None = None) -> int:
    """Count the units that a split or folds can separate: distinct rows, or groups."""
    return _number_units(ids, groups)[1]


def assign_folds(
    ids: NDArray[np.int64],
    n_folds: int,
    *,
    seed: int,
    strata: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> Folds:
    """Divide distinct rows, or whole groups, into folds of equal size, stratified by class.

    Identical rows are in the same fold, and repeating a row moves no other row.

    Args:
        ids: from `row_ids`. Shape (n_rows,).
        n_folds: number of folds, at least 2.
        seed: seed of the draw.
        strata: class codes; each class is spread evenly over the folds.
        groups: from `group_ids`; each distinct row with -1 is its own group.

    Raises:
        SchemaError: there are fewer distinct rows (or groups) than folds.
    """
    units, n_units, noun = _number_units(ids, groups)
    if not 2 <= n_folds <= n_units:
        raise SchemaError(
            f"the number of folds must be from 2 to the number of {noun}, {n_units}",
            got=str(n_folds),
            fix="Lower table.folds, or pass a table of validation rows.",
        )
    classes = _unit_classes(ids, units, n_units, strata)
    drawn = np.random.Generator(np.random.PCG64(seed)).permutation(n_units)
    by_class = drawn[np.argsort(classes[drawn], kind="stable")]  # dealt like cards
    fold = np.empty(n_units, dtype=np.int64)
    fold[by_class] = np.arange(n_units) % n_folds
    even = " within each class" * (strata is not None)
    how = f"{n_folds} folds of {noun} drawn at random{even}; each member holds one out"
    return Folds(fold[units], how)


def _number_units(
    ids: NDArray[np.int64], groups: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], int, str]:
    """Return the unit of each row (its distinct row or group), the number of units, and their name.

    Groups are numbered in the order of their first rows; identical rows without a group are one
    unit. Identical rows cannot be in different groups, because their ids take the group into
    account.
    """
    units, noun = ids, "distinct rows"
    if groups is not None:
        noun = "groups"
        keys = np.where(groups >= 0, groups, ids + groups.max(initial=-1) + 1)
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        units = np.argsort(np.argsort(first))[inverse]
    return units, int(units.max(initial=-1)) + 1, noun


def _unit_classes(
    ids: NDArray[np.int64],
    units: NDArray[np.int64],
    n_units: int,
    strata: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    """Return a class for each unit: its rarest one, so that rare classes are spread too."""
    if strata is None:
        return np.zeros(n_units, dtype=np.int64)
    codes = strata - strata.min()
    # One row for each distinct row and class:
    first = np.unique(ids * (codes.max() + 1) + codes, return_index=True)[1]
    rarity = np.argsort(np.argsort(-np.bincount(codes[first]), kind="stable"))  # highest is rarest
    rarest = np.zeros(n_units, dtype=np.int64)
    np.maximum.at(rarest, units[first], rarity[codes[first]])
    return rarest


def _draw(classes: NDArray[np.int64], val_frac: float, seed: int) -> NDArray[np.bool_]:
    """Hold out units of each class, using one seeded permutation of all units."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(classes))
    quotas = _quotas(np.bincount(classes), val_frac)
    held_out = np.zeros(len(classes), dtype=bool)
    for code in np.flatnonzero(quotas):
        members = order[classes[order] == code]
        held_out[members[: quotas[code]]] = True
    return held_out


def _quotas(counts: NDArray[np.int64], val_frac: float) -> NDArray[np.int64]:
    """Divide the held-out units among the classes, by the method of largest remainders.

    Each side gets at least one unit of every class; a class with a single unit is used for training.
    """
    exact = counts * val_frac
    quotas = np.floor(exact).astype(np.int64)
    total = int(np.clip(np.round(counts.sum() * val_frac), 1, counts.sum() - 1))
    by_remainder = np.argsort(-(exact - quotas), kind="stable")
    quotas[by_remainder[: max(0, total - quotas.sum())]] += 1
    quotas = np.clip(quotas, np.minimum(counts > 1, 1), np.maximum(counts - 1, 0))
    if not quotas.any():  # every class has a single unit: hold out one of them
        quotas[np.argmax(counts)] = 1
    return np.asarray(quotas, dtype=np.int64)


def _latest(
    units: NDArray[np.int64], n_units: int, times: NDArray[np.int64], val_frac: float
) -> NDArray[np.bool_]:
    """Hold out the latest units; a unit is as late as its latest row."""
    latest = np.full(n_units, np.iinfo(np.int64).min)
    np.maximum.at(latest, units, times)
    moments, counts = np.unique(latest, return_counts=True)
    if len(moments) < 2:
        raise SchemaError(
            "a split by time needs at least two different times",
            but="all times are equal",
            fix="Choose another column, or leave out `--time` (in Python: the setting table.time).",
        )
    n_late = np.cumsum(counts[::-1])[::-1]  # units held out if the split is before each time
    border = 1 + int(np.argmin(np.abs(n_late[1:] - n_units * val_frac)))
    return np.asarray(latest >= moments[border])
