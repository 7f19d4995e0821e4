"""Encode a table's cells as numbers and codes, with the schema learned from training rows."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.errors import AfinaWarning, SchemaError
from afina.table.category import encode_categories
from afina.table.column import Column
from afina.table.column_context import EncodeContext
from afina.table.date import encode_dates
from afina.table.names import list_names, suggest_names
from afina.table.numeric import encode_numbers
from afina.table.schema import Schema

ColumnT = TypeVar("ColumnT", bound=Column)


@dataclass(frozen=True)
class Features:
    """Rows as arrays, one for each kind of column, with columns in the order of the schema.

    Args:
        x_num: numbers minus the column's offset; NaN is missing. Shape (n_rows, n_num).
        x_cat: codes: 0 for missing, 1 for unknown, then the vocabulary in order. Shape (n_rows,
            n_cat).
        x_time: seconds since 1970 in UTC; NaN is missing. Shape (n_rows, n_time).
        notes: a sentence for each column with cells that tolerant mode treated as missing.
    """

    x_num: NDArray[np.float64]
    x_cat: NDArray[np.int64]
    x_time: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def encode(table: pa.Table, schema: Schema, *, source: str, tolerant: bool = False) -> Features:
    """Turn rows into arrays; columns are found by name, in any order.

    Args:
        table: a table from `read_table` or `to_table`.
        schema: the schema learned from the training rows.
        source: the table's name for messages.
        tolerant: if only a few cells do not parse (up to 5 % of a column, or one cell), treat them
            as missing and say so in `notes`; used for the validation rows of a fit.

    Raises:
        SchemaError: a column is missing, a cell is not the number or date that its column requires,
            or a number is infinite; the message names the source, row (from 1), column and cell.
    """
    _check_columns(table, schema, source, tolerant=tolerant)
    notes: list[str] = []

    def encode_all(
        columns: Sequence[ColumnT],
        encode_column: Callable[[ColumnT, pa.ChunkedArray, EncodeContext], NDArray[Any]],
        dtype: type[np.generic],
    ) -> NDArray[Any]:
        x = np.empty((table.num_rows, len(columns)), dtype=dtype)
        for at, column in enumerate(columns):
            context = EncodeContext(column.name, source, tolerant, schema.missing_values, notes)
            x[:, at] = encode_column(column, table.column(column.name), context)
        return x

    return Features(
        encode_all(schema.num_columns, encode_numbers, np.float64),
        encode_all(schema.cat_columns, encode_categories, np.int64),
        encode_all(schema.time_columns, encode_dates, np.float64),
        tuple(notes),
    )


def _check_columns(table: pa.Table, schema: Schema, source: str, *, tolerant: bool) -> None:
    names = table.column_names
    distinct = set(names)
    if len(distinct) < len(names):
        raise SchemaError(
            f"{source}: column names must differ", fix="Use afina.table.to_table first."
        )
    used = (*schema.num_names, *schema.cat_names, *schema.time_names)
    if absent := [name for name in used if name not in distinct]:
        hint = suggest_names(absent, [name for name in names if name not in schema.names])
        raise SchemaError(
            f"{source} must have every column that the model learned from",
            but=f"{list_names(absent)} {'is' if len(absent) == 1 else 'are'} missing",
            fix=hint or "Add the missing columns; empty cells are allowed.",
        )
    extra = [name for name in names if name not in schema.names]
    if extra and not tolerant:
        warnings.warn(
            f"{source}: {list_names(extra)} {'was' if len(extra) == 1 else 'were'} not in the "
            "training table and will not be used.",
            AfinaWarning,
            stacklevel=3,
        )
