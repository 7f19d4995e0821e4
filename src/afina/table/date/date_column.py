"""The record of a column of dates, and how columns and single cells become seconds."""

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AfterValidator

from afina.table.cells import as_one, as_texts
from afina.table.column import Column, Finite
from afina.table.column_context import EncodeContext
from afina.table.date.date_format import (
    COMPACT,
    FORMATS,
    ISO,
    ISO_OFFSET,
    parse_date,
    parse_dates,
    typed_second,
    typed_seconds,
)
from afina.table.frame import is_text, is_time
from afina.table.single_cell import (
    NAN,
    PLAIN_TYPES,
    OddCellError,
    as_python,
    is_zoned,
    nan_if_missing,
)


def _check_format(form: str) -> str:
    if form not in FORMATS:
        raise ValueError(f"a date format must be one of {', '.join(FORMATS)}")
    return form


@dataclass(frozen=True)
class DateColumn(Column):
    """A column of dates or instants.

    Args:
        minimum: the earliest date of the training rows, in seconds since 1970. None: there are no
            dates.
        maximum: the latest date of the training rows, in seconds since 1970.
        date_format: how dates are written in text cells: a key of `FORMATS`.
    """

    kind: Literal["datetime"]
    minimum: Finite | None = None
    maximum: Finite | None = None
    date_format: Annotated[str, AfterValidator(_check_format)] = ISO


def encode_dates(
    column: DateColumn, cells: pa.ChunkedArray, context: EncodeContext
) -> NDArray[np.float64]:
    """Turn cells into seconds since 1970; NaN where missing."""
    form, kind = column.date_format, cells.type
    if pa.types.is_null(kind):
        return np.full(len(cells), np.nan)
    if is_time(kind):
        zoned = pa.types.is_timestamp(kind) and kind.tz is not None
        if zoned != (form == ISO_OFFSET):
            context.refuse_type(kind, f"times with{'out' * zoned} an offset from UTC")
        return typed_seconds(as_one(cells))
    if is_text(kind):
        texts = as_texts(cells)
    elif pa.types.is_integer(kind) and form == COMPACT:
        texts = as_texts(cells.cast(pa.string()))
    else:
        context.refuse_type(kind, f"dates written {form}")
    seconds, fits = parse_dates(texts, form)
    context.check_cells(texts, fits, f"dates written {form}")
    return seconds


class DateReader:
    """Read one cell of a column of dates, as `encode_dates` would."""

    def __init__(self, column: DateColumn, missing_values: tuple[str, ...]) -> None:
        self.form, self.words = column.date_format, frozenset(missing_values)

    def __call__(self, cell: object) -> float:
        """Read a cell, or raise `OddCellError`."""
        cell = cell if type(cell) in PLAIN_TYPES else as_python(cell)
        if isinstance(cell, str):
            seconds = parse_date(cell, self.form)
            return nan_if_missing(cell, self.words) if seconds is None else seconds
        if cell is None:
            return NAN
        if isinstance(cell, dt.date) and self.form != ISO_OFFSET and not is_zoned(cell):
            return typed_second(cell)
        raise OddCellError
