"""The parts that readers of single cells share, for any kind of column.

A reader returns what encoding a table with that one row would return, bit for bit, or raises
`OddCellError` for a cell of an unusual type, or one that calls for an error or a warning.
"""

import datetime as dt
from collections.abc import Callable
from types import NoneType
from typing import Any

import numpy as np

from afina.table.cells import is_missing_word

NAN = float("nan")
LIMIT = 2**63
PLAIN_TYPES = frozenset({str, float, int, bool, NoneType, dt.date, dt.datetime})
_NUMPY_TYPES: dict[type, Callable[[Any], object]] = {
    np.str_: str,
    np.bool_: bool,
    **dict.fromkeys((np.float16, np.float32, np.float64), float),
    **dict.fromkeys((np.int8, np.int16, np.int32, np.int64), int),
    **dict.fromkeys((np.uint8, np.uint16, np.uint32, np.uint64), int),
}


class OddCellError(Exception):
    """A cell that must be encoded as part of a table."""


def nan_if_missing(text: str, words: frozenset[str]) -> float:
    """Return NaN for a word that means "missing"; raise for any other."""
    if not is_missing_word(text) and text.strip() not in words:
        raise OddCellError
    return NAN


def as_python(cell: object) -> object:
    """Convert a numpy scalar to a Python object."""
    convert = _NUMPY_TYPES.get(type(cell))
    if convert is None:
        raise OddCellError
    return convert(cell)


def check_range(number: int) -> int:
    """Return an integer unchanged if it fits int64; raise otherwise."""
    if not -LIMIT <= number < LIMIT:
        raise OddCellError
    return number


def is_encodable(text: str) -> bool:
    """Return whether text is free of lone surrogates, which no file can hold."""
    return text.isascii() or text == text.encode(errors="ignore").decode()


def is_zoned(moment: dt.date) -> bool:
    """Return whether a date has a time with an offset from UTC."""
    return isinstance(moment, dt.datetime) and moment.tzinfo is not None


def fits_a_table(cell: object) -> bool:
    """Return whether a table could hold this cell of an unused column."""
    if type(cell) not in PLAIN_TYPES:
        return type(cell) in _NUMPY_TYPES
    if isinstance(cell, int):
        return -LIMIT <= cell < LIMIT
    if isinstance(cell, dt.date):
        return not is_zoned(cell)
    return is_encodable(cell) if isinstance(cell, str) else True
