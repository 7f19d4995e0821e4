"""One row's cells as numbers and codes, without a table around them.

What `encode` makes of a table of one row, to the last bit, or nothing: a row that is not of the
ordinary kind (a column too few or too many, a cell of a seldom type, one that is an error or worth a
warning) is left to `encode`. So there is one place for what is said of odd rows.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np

from afina.table.cells import MISSING_WORDS
from afina.table.column import MISSING, UNKNOWN, Column
from afina.table.dates import ISO, ISO_OFFSET, parse_date, typed_second
from afina.table.encode import Features, boolean_code, code_of_bool
from afina.table.frame import cell_text
from afina.table.numbers import (
    PLAIN,
    NumberFormat,
    canonical_number,
    missing_numbers,
    parse_number,
    whole_number,
)
from afina.table.schema import Schema

_NAN = float("nan")
_LIMIT = 2**63
_ABSENT = object()
_PLAIN_TYPES = frozenset({str, float, int, bool, NoneType, dt.date, dt.datetime})
_NUMPY_TYPES: dict[type, Callable[[Any], object]] = {
    np.str_: str,
    np.bool_: bool,
    **dict.fromkeys((np.float16, np.float32, np.float64), float),
    **dict.fromkeys((np.int8, np.int16, np.int32, np.int64), int),
    **dict.fromkeys((np.uint8, np.uint16, np.uint32, np.uint64), int),
}


class RowEncoder:
    """Turn rows into arrays one at a time, each a mapping of column name to cell.

    Args:
        schema: what the training rows held.
        beside: other columns that may stand in a row, such as the target; they are not used.

    Example:
        >>> price = Column("price", "numeric", "", number=NumberFormat(decimal=","))
        >>> color = Column("color", "categorical", "", vocabulary=("blue", "red"))
        >>> encoder = RowEncoder(Schema((price, color)))
        >>> found = encoder.encode({"price": "1,5", "color": "red"})
        >>> found.x_num.tolist(), found.x_cat.tolist()
        ([[1.5]], [[3]])
        >>> encoder.encode({"price": "1,5"})
    """

    def __init__(self, schema: Schema, beside: Iterable[str] = ()) -> None:
        words = schema.missing_values
        self._numbers = [
            (column.name, _number_reader(column, words)) for column in schema.num_columns
        ]
        self._categories = [(one.name, _category_reader(one, words)) for one in schema.cat_columns]
        self._times = [(column.name, _time_reader(column, words)) for column in schema.time_columns]
        readers = (*self._numbers, *self._categories, *self._times)
        self._used = frozenset(name for name, _ in readers)
        self._unused = (schema.names | frozenset(beside)) - self._used

    def encode(self, row: Mapping[str, object]) -> Features | None:
        """Return a row's arrays; None where `encode` of a table must see to it."""
        cell = row.get
        try:
            numbers = [read(cell(name, _ABSENT)) for name, read in self._numbers]
            codes = [read(cell(name, _ABSENT)) for name, read in self._categories]
            times = [read(cell(name, _ABSENT)) for name, read in self._times]
        except _OddCellError:
            return None
        if not row or (len(row) > len(self._used) and not self._may_pass_over(row)):
            return None
        return Features(
            np.array([numbers], dtype=np.float64),
            np.array([codes], dtype=np.int64),
            np.array([times], dtype=np.float64),
        )

    def _may_pass_over(self, row: Mapping[str, object]) -> bool:
        """Say whether what is not used is known by name, and would have a place in a table."""
        return all(
            name in self._unused and _is_plain(cell)
            for name, cell in row.items()
            if name not in self._used
        )


def only_row(data: object) -> dict[str, object] | None:
    """Return the cells of a pandas frame of one row; None for anything else.

    Example:
        >>> import pandas as pd
        >>> only_row(pd.DataFrame({"a": [1], "b": ["x"]}))
        {'a': 1, 'b': 'x'}
    """
    if type(data).__module__.partition(".")[0] != "pandas":
        return None
    frame: Any = data
    if frame.ndim != 2 or len(frame) != 1:
        return None
    names = frame.columns.tolist()
    row = dict(zip(names, frame.to_numpy(dtype=object)[0].tolist(), strict=True))
    return row if len(row) == len(names) else None


class _OddCellError(Exception):
    """A cell that the table's way must see to."""


@dataclass(frozen=True)
class _NumberReader:
    """How the cells of a column of numbers are read; see `encode`."""

    form: NumberFormat
    words: frozenset[str]
    marked: tuple[float, ...]
    offset: int

    def __call__(self, cell: object) -> float:
        if type(cell) not in _PLAIN_TYPES:
            cell = _from_numpy(cell)
        if isinstance(cell, float):
            if math.isnan(cell):
                return _NAN
            is_whole = cell.is_integer() and abs(cell) < _LIMIT
            return self._less(cell, int(cell) if is_whole else None)
        if isinstance(cell, str):
            return self._read_text(cell)
        if isinstance(cell, int):
            return self._less(float(_in_range(cell)), int(cell))
        if cell is None:
            return _NAN
        raise _OddCellError

    def _read_text(self, text: str) -> float:
        found = parse_number(text, self.form)
        if found is None:
            return _missing(text, self.words)
        value, plain = found
        if not self.offset:
            return self._less(value, None)
        try:
            return self._less(value, whole_number(plain))
        except ValueError:
            raise _OddCellError from None

    def _less(self, value: float, whole: int | None) -> float:
        """Take off the offset: exactly from a whole number, unless 64 bits do not hold the rest."""
        if math.isinf(value):
            raise _OddCellError
        if value in self.marked:
            return _NAN
        if not self.offset:
            return value
        if whole is not None and -_LIMIT <= whole - self.offset < _LIMIT:
            return float(whole - self.offset)
        return value - float(self.offset)


@dataclass(frozen=True)
class _CategoryReader:
    """How the cells of a column of categories or booleans are read; `codes` has those met at once."""

    column: Column
    codes: dict[str, int]

    def __call__(self, cell: object) -> int:
        if type(cell) not in _PLAIN_TYPES:
            cell = _from_numpy(cell)
        if isinstance(cell, str):
            code = self._code(cell)
            if code == UNKNOWN and not _is_sound(cell):
                raise _OddCellError
            return code
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return MISSING
        if not isinstance(cell, bool | int | float):
            raise _OddCellError
        text = cell_text(cell if isinstance(cell, float) else _in_range(cell))
        if isinstance(cell, bool) and self.column.kind != "boolean" and text not in self.codes:
            code = code_of_bool(self.column, text)
        else:
            code = self._code(text)
        if code == UNKNOWN:  # worth a warning
            raise _OddCellError
        return code

    def _code(self, text: str) -> int:
        if self.column.kind == "boolean":
            return MISSING if self.codes.get(text) == MISSING else boolean_code(text)
        code = self.codes.get(text)
        if code is None:
            numbers = self.column.number_codes
            code = numbers.get(canonical_number(text) or "", UNKNOWN) if numbers else UNKNOWN
        return code


@dataclass(frozen=True)
class _TimeReader:
    """How the cells of a column of dates are read; see `encode`."""

    form: str
    words: frozenset[str]

    def __call__(self, cell: object) -> float:
        if type(cell) not in _PLAIN_TYPES:
            cell = _from_numpy(cell)
        if isinstance(cell, str):
            seconds = parse_date(cell, self.form)
            return _missing(cell, self.words) if seconds is None else seconds
        if cell is None:
            return _NAN
        if isinstance(cell, dt.date) and self.form != ISO_OFFSET and not _is_zoned(cell):
            return typed_second(cell)
        raise _OddCellError


def _number_reader(column: Column, words: tuple[str, ...]) -> _NumberReader:
    return _NumberReader(
        column.number or PLAIN, _all_words(column, words), missing_numbers(words), column.offset
    )


def _category_reader(column: Column, words: tuple[str, ...]) -> _CategoryReader:
    return _CategoryReader(column, column.codes | dict.fromkeys(("", *words), MISSING))


def _time_reader(column: Column, words: tuple[str, ...]) -> _TimeReader:
    return _TimeReader(column.date_format or ISO, _all_words(column, words))


def _all_words(column: Column, words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(("", *MISSING_WORDS, *column.missing_words, *words))


def _missing(text: str, words: frozenset[str]) -> float:
    """Return NaN for a word that means "missing"."""
    if text.strip() not in words:
        raise _OddCellError
    return _NAN


def _from_numpy(cell: object) -> object:
    """Turn a scalar of numpy into Python's."""
    convert = _NUMPY_TYPES.get(type(cell))
    if convert is None:
        raise _OddCellError
    return convert(cell)


def _in_range(number: int) -> int:
    if not -_LIMIT <= number < _LIMIT:
        raise _OddCellError
    return number


def _is_sound(text: str) -> bool:
    """Say whether a text has no letters that no file can hold: halves of a surrogate pair."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return True


def _is_zoned(moment: dt.date) -> bool:
    return isinstance(moment, dt.datetime) and moment.tzinfo is not None


def _is_plain(cell: object) -> bool:
    """Say whether a cell that is not used would have a place in a table."""
    if type(cell) not in _PLAIN_TYPES:
        return type(cell) in _NUMPY_TYPES
    if isinstance(cell, int):
        return -_LIMIT <= cell < _LIMIT
    if isinstance(cell, dt.date):
        return not _is_zoned(cell)
    return _is_sound(cell) if isinstance(cell, str) else True
