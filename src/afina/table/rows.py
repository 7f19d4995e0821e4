"""Find which rows are identical, which belong to one group, and which come first."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table.cells import Levels, as_one, missing_word_mask, read_levels, to_codes
from afina.table.date import find_date_formats, parse_dates
from afina.table.frame import is_time
from afina.table.numeric import find_format, parse_numbers, whole_cells

_MIX = np.uint64(0x9E3779B97F4A7C15)


def row_ids(table: pa.Table) -> NDArray[np.int64]:
    """Number the distinct rows by first occurrence; identical rows share a number.

    The result is exact: rows are matched by a hash and then compared cell by cell.

    Example:
        >>> row_ids(pa.table({"a": [5, 7, 5], "b": ["x", "x", "x"]}))
        array([0, 1, 0])
    """
    codes = [cell_codes(column) for column in table.columns]
    mixed = np.zeros(table.num_rows, dtype=np.uint64)
    for column in codes:
        mixed = scramble(mixed + column.astype(np.uint64) + np.uint64(1))
    ids, first = rank_first(mixed)
    twin = first[ids]  # the first row with the same hash
    if all((column == column[twin]).all() for column in codes):
        return ids
    ids = np.zeros(table.num_rows, dtype=np.int64)  # a hash collision: compare column by column
    for column in codes:
        ids, _ = rank_first(ids * (column.max(initial=0) + 2) + column + 1)
    return ids


def group_ids(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Number the distinct values by first occurrence; -1 for an empty cell.

    Example:
        >>> group_ids(pa.chunked_array([["b", "a", "", "b"]]))
        array([ 0,  1, -1,  0])
    """
    return read_levels(column).codes


def time_ranks(column: pa.ChunkedArray, *, name: str, source: str) -> NDArray[np.int64]:
    """Rank rows by a column of dates or numbers; equal times get the same rank.

    Raises:
        SchemaError: a time is missing, or the column holds neither dates nor numbers.

    Example:
        >>> column = pa.chunked_array([["31.12.2023", "01.01.2024", "31.12.2023"]])
        >>> time_ranks(column, name="day", source="sales.csv")
        array([0, 1, 0])
    """
    where = f"{source}: time column {name!r}"
    array = as_one(column)
    if is_time(array.type) or pa.types.is_integer(array.type):
        keys = array.cast(pa.int32()) if pa.types.is_date32(array.type) else array
        keys = keys if pa.types.is_integer(keys.type) else keys.cast(pa.int64())
        missing = array.is_null().to_numpy(zero_copy_only=False)
        values = keys.fill_null(0).to_numpy(zero_copy_only=False)
    elif pa.types.is_floating(array.type):
        values = array.to_numpy(zero_copy_only=False)
        missing = np.isnan(values)
    else:
        levels = read_levels(column)
        levels = levels.keep(~missing_word_mask(levels.texts))
        values = np.append(_text_moments(levels, where), 0)[levels.codes]
        missing = levels.codes < 0
    if missing.any():
        raise SchemaError(
            f"{where} must have a value in every row",
            but=f"row {int(np.argmax(missing)) + 1} has none",
            fix="Fill it in, or leave the row out.",
        )
    return np.asarray(np.unique(values, return_inverse=True)[1], dtype=np.int64)


def _text_moments(levels: Levels, where: str) -> NDArray[np.int64] | NDArray[np.float64]:
    """Read text as numbers or as dates in one format; only the order matters."""
    texts = levels.texts
    form, fits = find_format(texts, np.ones(len(texts)))
    if fits.all():
        values, _, plain = parse_numbers(texts, form)
        whole, exact = whole_cells(plain)
        return whole if exact.all() else values
    formats = find_date_formats(texts)
    for date_format, dates in formats.items():
        if dates.all():
            return parse_dates(texts, date_format)[0]
    odd = int(np.argmin(max(formats.values(), key=np.sum, default=fits)))
    raise SchemaError(
        f"{where} must hold numbers or dates in one format",
        but=f"row {levels.first_row(odd) + 1} holds {levels.show(odd)}",
        fix="Correct the cell.",
    )


def cell_codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Number the distinct cells of a column; -1 for null."""
    if pa.types.is_null(column.type):
        return np.full(len(column), -1)
    return to_codes(as_one(column).dictionary_encode().indices)


def scramble(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix bits so that sums of small codes do not collide (splitmix64's finalizer)."""
    values = values * _MIX
    values ^= values >> np.uint64(29)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    return values ^ (values >> np.uint64(32))


def rank_first(
    keys: NDArray[np.uint64] | NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number distinct keys by first occurrence, and return the first row of each."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[inverse], first[order]
