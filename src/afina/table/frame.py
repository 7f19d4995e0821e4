"""Turn data frames, arrays and mappings into pyarrow tables with a few plain types."""

import datetime as dt
import decimal
from collections.abc import Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from afina.errors import TableError
from afina.table.arrays import is_lazy, is_missing_cell, name_columns, to_eager
from afina.table.declared import (
    categories_of_pandas,
    declare_category,
    decode,
    from_extension,
)
from afina.table.names import check_names

_ACCEPTED = "a pandas, polars or pyarrow frame, a mapping of columns, or a 2-D numpy array"
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Ticks per second of each of pyarrow's units of time."""


def to_table(data: object) -> pa.Table:
    """Turn a frame, mapping or array into a pyarrow table without altering its values.

    Args:
        data: a pandas, polars or pyarrow frame (an index is left out, a lazy polars frame is
            collected); a mapping from names to columns; a list of rows, each a mapping; a
            structured numpy array; or a 2-D numpy array, whose columns get the names x0, x1, ...

    Returns:
        A table with columns of text, integers, numbers, booleans, dates and times; names are
        unique.

    Raises:
        TableError: the data is not a table, or a column has a type that a table cannot hold.

    Example:
        >>> to_table({"a": [1, None], "b": ["x", 2.0]}).to_pydict()
        {'a': [1, None], 'b': ['x', '2']}
    """
    data = name_columns(to_eager(data))
    if isinstance(data, pa.Table):
        table = data
    elif isinstance(data, np.ndarray):
        table = _from_numpy(data)
    elif isinstance(data, Mapping) and not hasattr(data, "tocsr"):  # a sparse matrix by keys
        table = _from_columns({str(name): data[name] for name in data})
    else:
        table = _from_frame(data)
    check_names(table.column_names, "the table")
    return clean_table(table, "the table")


def clean_table(table: pa.Table, source: str) -> pa.Table:
    """Convert every column to one of a few types; NaN becomes null.

    Dictionaries become their values, in columns marked as categorical; intervals become text;
    decimals become text, which is exact and later read as numbers; times of day and durations
    become seconds.

    Raises:
        TableError: a column holds lists, structures, bytes or other values that are not plain.
    """
    categories = categories_of_pandas(table.schema)
    columns, fields = [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        columns.append(_clean_column(column, name, source))
        field = pa.field(name, columns[-1].type)
        is_category = pa.types.is_dictionary(column.type) or name in categories
        fields.append(declare_category(field) if is_category else field)
    return pa.table(columns, schema=pa.schema(fields))


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column's type after `clean_table` is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_number(kind: pa.DataType) -> bool:
    """Return whether a column's type after `clean_table` is numeric."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_time(kind: pa.DataType) -> bool:
    """Return whether a column's type after `clean_table` is dates or timestamps."""
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def cell_text(cell: object) -> str:
    """Write a typed cell as text: a whole float without `.0`, a date in ISO form.

    Example:
        >>> cell_text(1.0), cell_text(True), cell_text(0.1), cell_text(9007199254740993)
        ('1', 'true', '0.1', '9007199254740993')
    """
    if isinstance(cell, bool | np.bool_):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**63:
        return str(int(cell))
    if isinstance(cell, float):
        return repr(float(cell))
    return str(cell)


def _clean_column(column: pa.ChunkedArray, name: str, source: str) -> pa.ChunkedArray:
    kind = column.type
    is_plain = (is_text, is_time, pa.types.is_boolean, pa.types.is_integer, pa.types.is_null)
    if any(is_of_type(kind) for is_of_type in is_plain):
        return column
    if pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        nan = pc.is_nan(column)
        return pc.if_else(nan, None, column) if pc.any(nan).as_py() else column
    if pa.types.is_dictionary(kind):
        return decode(column, lambda levels: _clean_column(levels, name, source))
    if isinstance(kind, pa.BaseExtensionType):
        return from_extension(column, name, source)
    if pa.types.is_string_view(kind):
        return column.cast(pa.large_string())
    if pa.types.is_decimal(kind):
        return column.cast(pa.string())
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        units = column.cast(pa.int32() if pa.types.is_time32(kind) else pa.int64())
        return pc.divide(units.cast(pa.float64(), safe=False), float(UNITS[kind.unit]))
    raise TableError(
        f"{source}: column {name!r} must hold text, numbers, booleans or dates",
        got=str(kind),
        fix="Turn it into plain values, or leave it out.",
    )


def _from_numpy(data: np.ndarray[Any, Any]) -> pa.Table:
    if data.ndim != 2 or not data.shape[1]:
        raise TableError(
            "an array must have two dimensions, rows and columns",
            got=f"shape={data.shape}",
            fix="Use array.reshape(-1, 1) for one column.",
        )
    return _from_columns({f"x{number}": data[:, number] for number in range(data.shape[1])})


def _from_columns(columns: Mapping[str, Any]) -> pa.Table:
    if not columns:
        raise TableError(
            "a table must have columns", but="there are none", fix="Pass at least one."
        )
    arrays = {name: _to_array(values, name) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise TableError(
            "columns must have the same length",
            got=str(dict(list(lengths.items())[:5])),
            fix="Pass one cell per row in each column.",
        )
    return pa.table(arrays)


def _from_frame(data: object) -> pa.Table:
    if hasattr(data, "tocsr"):
        raise TableError(
            "sparse matrices are not supported", fix="Use .toarray() if the result fits in memory."
        )
    try:
        frame: nw.DataFrame[Any] = nw.from_native(data, eager_only=True)
    except TypeError as error:
        raise TableError(
            f"a table must be {_ACCEPTED}",
            got=f"a {type(data).__name__}",
            fix="Collect it first."
            if is_lazy(data)
            else "Convert it, or read a file with `read_table`.",
        ) from error
    except nw.exceptions.DuplicateError as error:
        check_names([str(name) for name in data.columns], "the table")  # type: ignore[attr-defined]
        raise TableError(
            "the table: column names must differ", but=str(error), fix="Rename the columns."
        ) from error
    names = [str(name) for name in frame.columns]
    check_names(names, "the table")
    return _from_columns(dict(zip(names, frame.iter_columns(), strict=True)))


def _to_array(values: Any, name: str) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise TableError(
            f"column {name!r} must be a sequence",
            got=f"a {type(values).__name__}",
            fix="Pass one cell per row.",
        )
    if isinstance(values, np.ndarray) and np.iscomplexobj(values):
        raise TableError(
            f"column {name!r}: Complex data not supported",  # as scikit-learn expects
            fix="Split it into real and imaginary columns.",
        )
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise TableError(
            f"column {name!r} must have one dimension",
            got=f"shape={values.shape}",
            fix="Pass each of its columns under its own name.",
        )
    try:
        if hasattr(values, "to_arrow"):
            return values.to_arrow()
        if hasattr(values, "__arrow_c_stream__"):
            return pa.chunked_array(values)
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        texts = _mixed(values.to_list() if hasattr(values, "to_list") else list(values), name)
        return texts.dictionary_encode() if _is_categorical(values) else texts


def _is_categorical(values: Any) -> bool:
    """Return whether a pandas or narwhals column is declared as categorical."""
    return str(getattr(values, "dtype", "")).lower().startswith(("categor", "enum"))


def _mixed(cells: Sequence[object], name: str) -> pa.Array:
    """Write cells of several types as text, with `cell_text`."""
    texts: list[str | None] = []
    plain = (str, bool, int, float, decimal.Decimal, dt.date, np.bool_, np.number)
    for row, raw in enumerate(cells, 1):
        cell = raw.item() if isinstance(raw, np.generic) else raw
        if is_missing_cell(cell):
            texts.append(None)
        elif isinstance(cell, plain) or type(cell).__name__ == "Interval":
            texts.append(cell_text(cell))
        else:
            raise TableError(
                f"column {name!r} must hold plain values",
                but=f"row {row} holds a value of type {type(cell).__name__}",
                fix="Turn such values into text or numbers, or leave the column out.",
            )
    return pa.array(texts, pa.string())
