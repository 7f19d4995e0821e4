"""The cells of one column: distinct values and codes, and what counts as missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table.frame import cell_text, is_number, is_text, is_time

MISSING_WORDS = ("NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None", "none", "?", "-", ".")
"""Words that mean "missing" among numbers, dates and booleans; in a text column they are values."""


@dataclass(frozen=True)
class Levels:
    """A column's distinct cells as text.

    Args:
        texts: distinct cells, in the order of their first rows.
        codes: each row's place in `texts`; -1 where the cell is missing. Shape (n_rows,).
    """

    texts: pa.Array
    codes: NDArray[np.int64]

    def count(self, repeats: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add up how often each level occurs; a row counts as often as `repeats` says."""
        here = self.codes >= 0
        return np.bincount(self.codes[here], repeats[here], len(self.texts)).astype(np.float64)

    def keep(self, mask: NDArray[np.bool_]) -> "Levels":
        """Take only some levels; cells of the others become missing."""
        if mask.all():
            return self
        place = np.append(np.where(mask, np.cumsum(mask) - 1, -1), -1)
        return Levels(self.texts.filter(pa.array(mask)), place[self.codes])

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring a number for each level to the rows; NaN where the cell is missing."""
        return np.append(values, np.nan)[self.codes]

    def first_row(self, level: int) -> int:
        """Find the first row (from 0) that holds a level."""
        return int(np.argmax(self.codes == level))


def as_one(column: pa.ChunkedArray) -> pa.Array:
    """Join a column's chunks; text beyond 2 GB gets wide offsets first."""
    if column.num_chunks == 1:
        return column.chunk(0)
    if pa.types.is_string(column.type) and column.nbytes > 2**31 - 1:
        column = column.cast(pa.large_string())
    return column.combine_chunks()


def read_levels(column: pa.ChunkedArray, missing_values: Sequence[str] = ()) -> Levels:
    """Find the distinct cells of a column of any type, as text; empty cells are missing."""
    if pa.types.is_null(column.type):
        return Levels(pa.array([], pa.string()), np.full(len(column), -1))
    coded = as_one(column).dictionary_encode()
    texts = coded.dictionary
    codes = _to_codes(coded.indices)
    if is_time(texts.type):
        texts = pa.array([_short_time(text) for text in texts.cast(pa.string()).to_pylist()])
    elif not is_text(texts.type):
        texts = pa.array([cell_text(cell) for cell in texts.to_pylist()], pa.string())
    if not is_text(column.type):  # two values may have one text, as 0.0 and -0.0 have
        shared = texts.dictionary_encode()
        texts, codes = shared.dictionary, np.append(_to_codes(shared.indices), -1)[codes]
    if not missing_values and pc.index(texts, "").as_py() < 0:
        return Levels(texts, codes)
    return Levels(texts, codes).keep(~_is_in(texts, ("", *missing_values)))


def _to_codes(indices: pa.Array) -> NDArray[np.int64]:
    filled = indices.fill_null(-1) if indices.null_count else indices
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.int64)


def _is_in(texts: pa.Array, words: tuple[str, ...]) -> NDArray[np.bool_]:
    found = pc.is_in(texts, _word_array(words, texts.type))
    return np.asarray(found.to_numpy(zero_copy_only=False))


@cache
def _word_array(words: tuple[str, ...], kind: pa.DataType) -> pa.Array:
    return pa.array(words, kind)


def typed_numbers(
    column: pa.ChunkedArray,
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Read a column of numbers or booleans.

    Returns:
        The numbers (NaN where missing), and the exact whole numbers (0 where missing) where every
        number is whole and fits int64, else None.
    """
    array = as_one(column)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int64())
    if pa.types.is_integer(array.type):
        values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        try:
            whole = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:  # unsigned, beyond int64
            return values, None
        return values, np.asarray(whole)
    values = np.asarray(array.to_numpy(zero_copy_only=False))
    return values, whole_if_exact(values)


def whole_if_exact(values: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Turn floats into exact integers (0 for NaN); None unless all are whole and fit int64."""
    filled = np.where(np.isnan(values), 0.0, values)
    if not ((filled == np.floor(filled)) & (np.abs(filled) < 2.0**63)).all():
        return None
    return filled.astype(np.int64)


def missing_word_mask(texts: pa.Array, words: Sequence[str] = ()) -> NDArray[np.bool_]:
    """Which texts mean "missing" among numbers and dates: the usual words, blanks, and `words`."""
    return _is_in(pc.utf8_trim_whitespace(texts), ("", *MISSING_WORDS, *words))


def boolean_mask(texts: pa.Array) -> NDArray[np.bool_]:
    """Which texts are the words true and false, in any case."""
    return _is_in(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), ("true", "false"))


def describe_type(kind: pa.DataType) -> str:
    """Name a column's type in a message."""
    if is_text(kind):
        return "text"
    if is_number(kind):
        return "numbers"
    return "dates" if is_time(kind) else "booleans" if pa.types.is_boolean(kind) else str(kind)


def check_finite(
    values: NDArray[np.float64], *, source: str, name: str, rows: NDArray[np.int64] | None
) -> None:
    """Raise a SchemaError at the first infinite number.

    Args:
        values: numbers of the rows looked at.
        source: the table's name in the message.
        name: the column's.
        rows: row numbers (from 0) in the table of those looked at; None: all.
    """
    infinite = np.isinf(values)
    if infinite.any():
        at = int(np.argmax(infinite))
        row = at if rows is None else int(rows[at])
        raise SchemaError(
            f"{source}: column {name!r} must hold finite numbers, however: row {row + 1} is "
            "infinite. Replace it, or leave the cell empty."
        )


def _short_time(text: str) -> str:
    """Drop the zeros of a fraction; an instant at midnight is its date."""
    head, point, tail = text.partition(".")
    zone = tail.lstrip("0123456789")
    fraction = tail.removesuffix(zone).rstrip("0")
    return (head + point * bool(fraction) + fraction + zone).removesuffix(" 00:00:00")
