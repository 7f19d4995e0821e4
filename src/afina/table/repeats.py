"""Identical rows: are they copies of one row, or did several rows turn out alike?

A copy must stay on the side of the row that it copies; otherwise held-out rows are also among the
training rows. Rows that merely turned out alike must be free to separate. If they were kept
together, every row like a held-out one would be held out too, and a look-up could not be learned.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.table.cells import missing_word_mask, read_levels
from afina.table.date import find_date_formats, parse_dates
from afina.table.declared import is_declared_category
from afina.table.frame import is_number, is_time
from afina.table.numeric import find_format, has_leading_zero, parse_numbers
from afina.table.rows import cell_codes, rank_first, row_ids, scramble

Integers = NDArray[np.int64]
Targets = NDArray[np.int64] | NDArray[np.float64]

_FEW = 0.25  # up to this share of rows with an identical one, they are kept together
_LEAST_DISTINCT = 10  # of fewer distinct rows, the counts may share a divisor by chance
_EXPLAINED = 0.5  # share of the identical pairs that chance must explain
_MOST_COMPARED = 12  # up to this many columns, each is compared with every other
_NUMBERS = 0.95  # share of the distinct text values that must be numbers
_DENSE = 0.1  # share of the grid from the smallest to the largest number that must occur
_MOST_DECIMALS = 6


@dataclass(frozen=True)
class Observations:
    """The number of rows, and of distinct combinations of features among them."""

    n_rows: int
    n_distinct: int


@dataclass(frozen=True)
class Repeats:
    """What identical rows are, and which rows a split must not separate.

    Args:
        units: rows with the same number stay together; numbered by first occurrence. Shape
            (n_rows,).
        meaning: "few": there are too few to matter, and they are kept together. "copies": they are
            kept together. "observations": each row is a unit of its own, with its copies if it has
            any.
        n_identical: number of rows that agree with another row in all features.
        n_distinct: number of distinct rows.
        n_copies: number of times that each observation occurs.
    """

    units: Integers
    meaning: Literal["few", "copies", "observations"]
    n_identical: int
    n_distinct: int
    n_copies: int = 1


def find_repeats(
    features: pa.Table, target: Targets, *, categorical: Collection[str] = ()
) -> Repeats:
    """Decide from the table whether identical rows are copies or observations that turned out alike.

    Chance makes near misses too: where two rows agree in all columns by chance, others agree in all
    columns but one. If two rows agree in a column with probability c, then m pairs of rows that
    agree in all other columns and differ in this one come with about m c / (1 - c) identical
    pairs. If no column explains half of the identical pairs in this way, they are copies.

    If the count of every distinct row, target included, is a multiple of k, the table is k copies
    of a smaller one, and only that one is judged. The order of the rows and of the columns does not
    matter, and the target matters only for those counts.

    Args:
        features: the columns that a network may learn from.
        target: class numbers or values.
        categorical: columns that hold categories, whatever their cells look like.

    Example:
        >>> level = np.repeat(["a", "b", "c"], 10)
        >>> find_repeats(pa.table({"level": level}), np.arange(30) % 2).meaning
        'observations'
        >>> x = np.random.default_rng(0).normal(size=30).repeat(2)
        >>> find_repeats(pa.table({"x": x, "y": -x}), np.arange(60) // 2).meaning
        'copies'
    """
    units = row_ids(features)
    counts = np.bincount(units)
    n_identical, n_distinct = int(counts[counts > 1].sum()), len(counts)
    if n_identical <= _FEW * len(units):
        return Repeats(units, "few", n_identical, n_distinct)
    base, n_copies = _find_copies(units, target)
    first = np.unique(base, return_index=True)[1]
    if len(first) == n_distinct:  # one of each row would be left: nothing to judge by
        first, n_copies, base = np.arange(len(units)), 1, np.arange(len(units))
    codes = [cell_codes(column) for column in features.columns]
    dense = [
        features.schema.field(i).name in categorical or _is_dense(features, i)
        for i in range(features.num_columns)
    ]
    if not _explains([column[first] for column in codes], dense):
        return Repeats(units, "copies", n_identical, n_distinct)
    return Repeats(base, "observations", n_identical, n_distinct, n_copies)


def _hash_cells(codes: Sequence[Integers]) -> list[NDArray[np.uint64]]:
    """Hash each cell with its column; the sum over the columns identifies a row."""
    seeds = scramble(np.arange(1, len(codes) + 1, dtype=np.uint64))
    return [scramble(column.astype(np.uint64) + s) for column, s in zip(codes, seeds, strict=True)]


def _sum(hashes: Sequence[NDArray[np.uint64]], n_rows: int) -> NDArray[np.uint64]:
    return sum(hashes, np.zeros(n_rows, dtype=np.uint64))


def _pairs(values: NDArray[np.uint64] | Integers) -> float:
    """Count the pairs of rows that have the same value."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / 2)


def _find_copies(units: Integers, target: Targets) -> tuple[Integers, int]:
    """Number the rows of the smaller table that this one holds k times; return k too."""
    values = np.unique(target, return_inverse=True)[1].ravel()
    rows, _ = rank_first(units * (int(values.max(initial=0)) + 1) + values)
    counts = np.bincount(rows)
    k = int(np.gcd.reduce(counts))
    if k == 1 or len(counts) < _LEAST_DISTINCT:
        return np.arange(len(rows)), 1
    order = np.argsort(rows, kind="stable")
    place = np.empty(len(rows), dtype=np.int64)  # of each row among those identical to it
    place[order] = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows[order]]
    return rank_first(rows * len(rows) + place // k)[0], k


def _explains(codes: list[Integers], dense: list[bool]) -> bool:
    """Return whether chance explains half of the identical pairs of rows."""
    kept = _independent(codes)
    if not kept:
        return True
    n_rows = len(codes[0])
    space = [len(np.unique(codes[i])) if dense[i] else math.inf for i in kept]
    if math.prod(space) <= n_rows:  # no fewer rows than there can be distinct ones
        return True
    hashes = _hash_cells([codes[i] for i in kept])
    whole = _sum(hashes, n_rows)
    identical = _pairs(whole)
    others = n_rows * (n_rows - 1) / 2 - identical
    for i, hashed in zip(kept, hashes, strict=True):
        near_misses = _pairs(whole - hashed) - identical
        differ = 1 - (_pairs(codes[i]) - identical) / others
        if near_misses * (1 - differ) >= _EXPLAINED * identical * differ > 0:
            return True
    return False


def _independent(codes: list[Integers]) -> list[int]:
    """Leave out constant columns, and those that another column determines.

    A region beside a city is only a coarser city, and a code beside a name repeats the name. But a
    column that determines several others, which do not determine each other, numbers the rows.
    """
    n_levels = [len(np.unique(column)) for column in codes]
    order = sorted((i for i, n in enumerate(n_levels) if n > 1), key=lambda i: -n_levels[i])
    if len(order) > _MOST_COMPARED:
        return order
    pairs = {
        (i, j)
        for a, i in enumerate(order)
        for j in order[a + 1 :]
        if len(np.unique(codes[i] * (codes[j].max() + 2) + codes[j])) == n_levels[i]
    }
    left_out: set[int] = set()
    for a, i in enumerate(order):
        coarser = [j for j in order[a + 1 :] if (i, j) in pairs]
        if all(step in pairs for step in pairwise(coarser)):
            left_out.update(coarser)
    return [i for i in order if i not in left_out]


def _is_dense(features: pa.Table, i: int) -> bool:
    """Return whether a column naturally repeats: categories, or numbers that fill a grid."""
    column, field = features.column(i), features.schema.field(i)
    if is_declared_category(field) or pa.types.is_boolean(field.type):
        return True
    if is_number(field.type) or is_time(field.type):
        known = column.drop_null()
        known = known.cast(pa.int64()) if is_time(field.type) else known
        return _fills(np.unique(known.to_numpy()).astype(np.float64))
    levels = read_levels(column)
    texts = levels.texts.filter(pa.array(~missing_word_mask(levels.texts)))
    form, fits = find_format(texts, np.ones(len(texts)))
    if fits.mean() >= _NUMBERS and not has_leading_zero(texts).any():
        return _fills(np.unique(parse_numbers(texts.filter(pa.array(fits)), form)[0]))
    dates = find_date_formats(texts)
    date_format = next((name for name, fit in dates.items() if fit.all()), None)
    return date_format is None or _fills(np.unique(parse_dates(texts, date_format)[0]))


def _fills(values: NDArray[np.float64]) -> bool:
    """Return whether distinct numbers fill a grid; the ends, which may be codes, do not count."""
    values = values[np.isfinite(values)]
    if len(values) <= 2:
        return True
    middle = values[len(values) // 20 : len(values) - len(values) // 20]
    for decimals in range(_MOST_DECIMALS + 1):
        whole = np.rint(middle * 10.0**decimals)
        if np.allclose(whole, middle * 10.0**decimals, rtol=1e-7, atol=1e-12):
            steps = np.diff(whole)
            if steps.max(initial=0) >= 2**52:
                return False
            size = (whole[-1] - whole[0]) / max(1, int(np.gcd.reduce(steps.astype(np.int64)))) + 1
            return bool(len(middle) >= _DENSE * size)
    return False
