"""The record of a numeric column, and how columns and single cells become float64."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, Strict

from afina.table.cells import as_texts
from afina.table.column import Column, Finite, Texts
from afina.table.column_context import EncodeContext
from afina.table.frame import is_number, is_text
from afina.table.numeric.exact_numbers import (
    blank_marked,
    check_finite,
    missing_numbers,
    typed_numbers,
    whole_cells,
    whole_number,
)
from afina.table.numeric.number_format import PLAIN, NumberFormat, parse_number, parse_numbers
from afina.table.single_cell import (
    LIMIT,
    NAN,
    PLAIN_TYPES,
    OddCellError,
    as_python,
    check_range,
    nan_if_missing,
)


@dataclass(frozen=True)
class NumberColumn(Column):
    """A numeric column.

    Args:
        minimum: smallest number of the training rows. None: there are no numbers.
        maximum: largest number of the training rows.
        integer: whether every number is whole.
        number: how numbers are written in text cells.
        offset: whole number to subtract exactly, before rounding to float64 loses small
            differences.
        missing_words: words that mean "missing" in this column, in addition to the usual ones.
    """

    kind: Literal["numeric"]
    minimum: Finite | None = None
    maximum: Finite | None = None
    integer: Annotated[bool, Strict()] = False
    number: NumberFormat = PLAIN
    offset: Annotated[int, Strict(), Field(ge=-(2**63), lt=2**63)] = 0
    missing_words: Texts = ()


def encode_numbers(
    column: NumberColumn, cells: pa.ChunkedArray, context: EncodeContext
) -> NDArray[np.float64]:
    """Turn cells into numbers minus the column's offset; NaN where missing."""
    offset, kind = column.offset, cells.type
    if pa.types.is_null(kind):
        return np.full(len(cells), np.nan)
    if is_number(kind) or pa.types.is_boolean(kind):
        values, whole = typed_numbers(cells)
        exact = np.ones(len(values), dtype=bool) if whole is not None else None
        if offset and whole is None:
            exact = (values == np.floor(values)) & (np.abs(values) < 2.0**63)
            whole = np.where(exact, values, 0.0).astype(np.int64)
    elif is_text(kind):
        texts = as_texts(cells)
        values, fits, plain = parse_numbers(texts, column.number)
        context.check_cells(texts, fits, column.number.describe(), column.missing_words)
        whole, exact = whole_cells(plain) if offset else (None, None)
    else:
        context.refuse_type(kind, "numbers")
    check_finite(values, source=context.source, name=context.name)
    values = blank_marked(values, context.missing_values)
    if offset and whole is not None and exact is not None:
        return _subtract(values, whole, exact, offset)
    return values


def _subtract(
    values: NDArray[np.float64], whole: NDArray[np.int64], exact: NDArray[np.bool_], offset: int
) -> NDArray[np.float64]:
    """Subtract the offset exactly, or in floats if a cell is not whole or int64 would overflow."""
    difference = whole - np.int64(offset)
    overflows = ((whole ^ np.int64(offset)) & (whole ^ difference)) < 0
    exact = exact & ~overflows & ~np.isnan(values)
    return np.where(exact, difference.astype(np.float64), values - float(offset))


class NumberReader:
    """Read one cell of a numeric column, as `encode_numbers` would."""

    def __init__(self, column: NumberColumn, missing_values: tuple[str, ...]) -> None:
        self.form, self.offset = column.number, column.offset
        self.words = frozenset((*column.missing_words, *missing_values))
        self.marked = missing_numbers(missing_values)

    def __call__(self, cell: object) -> float:
        """Read a cell, or raise `OddCellError`."""
        cell = cell if type(cell) in PLAIN_TYPES else as_python(cell)
        if isinstance(cell, float):
            if math.isnan(cell):
                return NAN
            is_whole = cell.is_integer() and abs(cell) < LIMIT
            return self._subtract(cell, int(cell) if is_whole else None)
        if isinstance(cell, str):
            return self._read_text(cell)
        if isinstance(cell, int):
            return self._subtract(float(check_range(cell)), int(cell))
        if cell is None:
            return NAN
        raise OddCellError

    def _read_text(self, text: str) -> float:
        parsed = parse_number(text, self.form)
        if parsed is None:
            return nan_if_missing(text, self.words)
        value, plain = parsed
        if not self.offset:
            return self._subtract(value, None)
        try:
            return self._subtract(value, whole_number(plain))
        except ValueError:
            raise OddCellError from None

    def _subtract(self, value: float, whole: int | None) -> float:
        """Subtract the offset, exactly for whole numbers unless the difference overflows int64."""
        if math.isinf(value):
            raise OddCellError
        if value in self.marked:
            return NAN
        if not self.offset:
            return value
        if whole is not None and -LIMIT <= whole - self.offset < LIMIT:
            return float(whole - self.offset)
        return value - float(self.offset)
