"""Rows as arrays, and the merging of identical rows.

Training uses each distinct row once, with the sum of its weights, and divides heavy rows into
equal parts; the order of these rows depends on nothing else. So a weight of 2 has the same effect, bit
for bit, as two identical rows, and the order of rows in a table changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_LEAST_PARTS = 1000
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Rows:
    """Rows as a network gets them, with their targets and weights.

    Shape:
        x_num (n, n_num), x_cat (n, n_cat), x_time (n, n_time), y (n,), weights (n,)

    Args:
        x_num: numbers; NaN is missing.
        x_cat: codes of levels.
        x_time: seconds since 1970 UTC; NaN is missing.
        y: class numbers (int64), or the values of a regression target (float64).
        weights: weight of each row, above 0.
        folds: the fold of each row. None: there are no folds.
        score_weights: weights that scores use, where classes are weighted. None: `weights`.
    """

    x_num: Floats
    x_cat: Integers
    x_time: Floats
    y: Integers | Floats
    weights: Floats
    folds: Integers | None = None
    score_weights: Floats | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def for_scores(self) -> Floats:
        """The weights that scores use: those of rows, without those of classes."""
        return self.weights if self.score_weights is None else self.score_weights


def merge_identical(rows: Rows) -> Rows:
    """Merge identical rows into one row with the sum of their weights, and sort the rows.

    Two rows are identical when all features, the target and the fold are equal; NaN equals NaN, and
    -0.0 equals 0.0.

    Example:
        >>> import numpy as np
        >>> none = np.empty((3, 0))
        >>> x = np.array([[2.0], [1.0], [2.0]])
        >>> y = np.array([0.0, 1.0, 0.0])
        >>> rows = merge_identical(Rows(x, none.astype(np.int64), none, y, np.ones(3)))
        >>> rows.x_num.ravel().tolist(), rows.weights.tolist()
        ([2.0, 1.0], [2.0, 1.0])
    """
    folds = [] if rows.folds is None else [rows.folds]
    first, group = group_rows([rows.x_num, rows.x_cat, rows.x_time, rows.y, *folds])
    return _weighed(rows, first, lambda weights: _exact_sums(group, weights, len(first)))


def part_heavy(rows: Rows) -> Rows:
    """Divide rows that are heavier than the mean into equal parts.

    If a batch has a few heavy rows and many light ones, the step learns from few rows; and with few
    distinct rows, an epoch would be only a step or two. So a row is divided into equal parts, none
    lighter than the lightest row, if it is heavier than the mean weight or, with fewer than a
    thousand rows, heavier than a thousandth of the total weight. At most, this doubles the number
    of rows, or adds a thousand.

    Example:
        >>> none = np.empty((3, 0))
        >>> x = np.array([[2.0], [1.0], [3.0]])
        >>> rows = Rows(x, none.astype(np.int64), none, np.zeros(3), np.array([3.0, 1.0, 1.0]))
        >>> parted = part_heavy(rows)
        >>> parted.x_num.ravel().tolist(), parted.weights.tolist()
        ([2.0, 2.0, 2.0, 1.0, 3.0], [1.0, 1.0, 1.0, 1.0, 1.0])
    """
    shares = rows.weights / rows.weights.max(
        initial=0.0
    )  # divided first, so that nothing overflows
    most = shares.sum() / max(len(rows), _LEAST_PARTS)
    n_parts = np.ceil(shares / max(most, shares.min(initial=1.0)) * (1 - _ROUNDING))
    times = n_parts.astype(np.int64)
    index = np.repeat(np.arange(len(rows)), times)
    return _weighed(rows, index, lambda weights: np.repeat(weights / n_parts, times))


def even_weights(weights: Floats) -> Floats:
    """Divide weights by their mean, so that a constant factor changes nothing.

    Example:
        >>> even_weights(np.array([3.0, 3.0])).tolist(), even_weights(np.array([2.0, 6.0])).tolist()
        ([1.0, 1.0], [0.5, 1.5])
    """
    largest = weights.max(initial=0.0)
    if (weights == largest).all():
        return np.ones(len(weights))
    shares = weights / largest  # divided first, so that nothing overflows
    even: Floats = shares / shares.mean()
    return even


def group_rows(arrays: Sequence[NDArray[Any]]) -> tuple[Integers, Integers]:
    """Find the rows that are identical in all arrays.

    Shape:
        arrays of (n, ...) -> first (n_distinct,), group (n,)

    Returns:
        The number of one row of each group, with the groups ordered by their bytes; and the group
        of each row.
    """
    key = np.concatenate([_as_bytes(array) for array in arrays], axis=1)
    if key.shape[1] == 0:
        return np.zeros(min(len(key), 1), dtype=np.int64), np.zeros(len(key), dtype=np.int64)
    whole = np.ascontiguousarray(key).view(np.dtype((np.void, key.shape[1]))).ravel()
    _, first, group = np.unique(whole, return_index=True, return_inverse=True)
    return first.astype(np.int64), group.astype(np.int64).ravel()


def _weighed(rows: Rows, index: Integers, weigh: Callable[[Floats], Floats]) -> Rows:
    """Return the rows with these numbers, their weights computed from those of all rows."""
    for_scores = None if rows.score_weights is None else weigh(rows.score_weights)
    return replace(_take(rows, index), weights=weigh(rows.weights), score_weights=for_scores)


def _take(rows: Rows, index: Integers) -> Rows:
    """Return the rows with these numbers, in the order of the numbers, without `score_weights`."""
    return Rows(
        x_num=rows.x_num[index],
        x_cat=rows.x_cat[index],
        x_time=rows.x_time[index],
        y=rows.y[index],
        weights=rows.weights[index],
        folds=None if rows.folds is None else rows.folds[index],
    )


def _as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return bytes that are equal exactly where the values are equal."""
    flat = np.ascontiguousarray(array.reshape(len(array), -1))
    if flat.dtype == np.float64:
        flat = np.where(np.isnan(flat), np.nan, flat + 0.0)  # one kind of NaN, and no -0.0
    return flat.view(np.uint8).reshape(len(flat), flat.shape[1] * flat.dtype.itemsize)


def _exact_sums(group: Integers, weights: Floats, n_groups: int) -> Floats:
    """Sum weights by group, largest last, so that rounding does not depend on the order of rows."""
    order = np.argsort(weights, kind="stable")
    return np.bincount(group[order], weights[order], n_groups).astype(np.float64)
