"""Data frames, arrays and mappings as pyarrow tables of few, plain types."""

import datetime as dt
import decimal
import math
from collections.abc import Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from afina.errors import TableError
from afina.table.names import check_names

_ACCEPTED = "a pandas, polars or pyarrow frame, a mapping of columns, or a 2-D numpy array"
_SECONDS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def to_table(data: object) -> pa.Table:
    """Take a frame, mapping or array as a pyarrow table; what it holds is not altered.

    Args:
        data: pandas, polars or pyarrow frame (an index is left out); mapping from names to
            columns; 2-D numpy array, whose columns are named x0, x1, ...

    Returns:
        Columns of text, whole numbers, numbers, booleans, dates and times; names are unique.

    Raises:
        TableError: no table, or a column of a type that has no place in one.

    Example:
        >>> to_table({"a": [1, None], "b": ["x", 2.0]}).to_pydict()
        {'a': [1, None], 'b': ['x', '2']}
    """
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        table = data
    elif isinstance(data, np.ndarray):
        table = _from_numpy(data)
    elif isinstance(data, Mapping):
        table = _from_columns({str(name): data[name] for name in data})
    else:
        table = _from_frame(data)
    check_names(table.column_names, "the table")
    return clean_table(table, "the table")


def clean_table(table: pa.Table, source: str) -> pa.Table:
    """Bring every column to one of few types; NaN becomes null.

    Dictionaries become their values, decimals become text (exact; read as numbers later), times
    and durations become seconds.

    Raises:
        TableError: a column of lists, structures, bytes or another type that is no plain value.
    """
    columns = [
        _clean_column(column, name, source)
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.table(columns, names=table.column_names)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column type, after `clean_table`, is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a column type, after `clean_table`, is numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_time(kind: pa.DataType) -> bool:
    """Whether a column type, after `clean_table`, is dates or instants."""
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
    if isinstance(cell, dt.datetime):
        return cell.isoformat(" ")
    return str(cell)


def _clean_column(column: pa.ChunkedArray, name: str, source: str) -> pa.ChunkedArray:
    kind = column.type
    if is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return column
    if is_time(kind) or pa.types.is_null(kind):
        return column
    if pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        nan = pc.is_nan(column)
        return pc.if_else(nan, None, column) if pc.any(nan).as_py() else column
    if pa.types.is_dictionary(kind):
        return _clean_column(column.cast(kind.value_type), name, source)
    if pa.types.is_string_view(kind):
        return column.cast(pa.large_string())
    if pa.types.is_decimal(kind):
        return column.cast(pa.string())
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        units = column.cast(pa.int32() if pa.types.is_time32(kind) else pa.int64())
        return pc.divide(units.cast(pa.float64(), safe=False), float(_SECONDS[kind.unit]))
    raise TableError(
        f"{source}: column {name!r} must hold text, numbers, booleans or dates, however: it holds "
        f"{kind}. Turn it into plain values, or leave it out."
    )


def _from_numpy(data: np.ndarray[Any, Any]) -> pa.Table:
    if data.ndim != 2 or not data.shape[1]:
        raise TableError(
            "an array must have two dimensions, rows and columns, however: "
            f"shape={data.shape}. Use array.reshape(-1, 1) for one column."
        )
    if np.iscomplexobj(data):
        raise TableError("Complex data not supported. Split it into real and imaginary columns.")
    return _from_columns({f"x{number}": data[:, number] for number in range(data.shape[1])})


def _from_columns(columns: Mapping[str, Any]) -> pa.Table:
    if not columns:
        raise TableError("a table must have columns, however: it has none.")
    arrays = {name: _to_array(values, name) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise TableError(
            f"columns must be of one length, however: {dict(list(lengths.items())[:5])}."
        )
    return pa.table(arrays)


def _from_frame(data: object) -> pa.Table:
    if hasattr(data, "tocsr"):
        raise TableError("sparse matrices are not supported. Use .toarray() where it fits memory.")
    try:
        frame: nw.DataFrame[Any] = nw.from_native(data, eager_only=True)
    except TypeError as error:
        lazy = " Collect it first." if hasattr(data, "collect") else ""
        raise TableError(
            f"a table must be {_ACCEPTED}, however: a {type(data).__name__} came.{lazy}"
        ) from error
    except nw.exceptions.DuplicateError as error:
        check_names([str(name) for name in data.columns], "the table")  # type: ignore[attr-defined]
        raise TableError(f"the table: column names must differ, however: {error}") from error
    names = [str(name) for name in frame.columns]
    check_names(names, "the table")
    return _from_columns(dict(zip(names, frame.iter_columns(), strict=True)))


def _to_array(values: Any, name: str) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise TableError(
            f"column {name!r} must be a sequence, however: a {type(values).__name__} came."
        )
    if isinstance(values, np.ndarray) and (values.ndim != 1 or np.iscomplexobj(values)):
        what = "Complex data not supported" if np.iscomplexobj(values) else "it has two dimensions"
        raise TableError(f"column {name!r} must be plain values, however: {what}.")
    try:
        if hasattr(values, "to_arrow"):
            return values.to_arrow()
        if hasattr(values, "__arrow_c_stream__"):
            return pa.chunked_array(values)
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return _mixed(values.to_list() if hasattr(values, "to_list") else list(values), name)


def _mixed(cells: Sequence[object], name: str) -> pa.Array:
    """Write cells of several types as text, each by `cell_text`."""
    texts: list[str | None] = []
    plain = (str, bool, int, float, decimal.Decimal, dt.date, np.bool_, np.number)
    for row, given in enumerate(cells, 1):
        cell = given.item() if isinstance(given, np.generic) else given
        if cell is None or type(cell).__name__ in ("NAType", "NaTType") or _is_nan(cell):
            texts.append(None)
        elif isinstance(cell, plain):
            texts.append(cell_text(cell))
        else:
            raise TableError(
                f"column {name!r} must hold plain values, however: row {row} holds a "
                f"{type(cell).__name__}. Turn it into text or numbers, or leave the column out."
            )
    return pa.array(texts, pa.string())


def _is_nan(cell: object) -> bool:
    return isinstance(cell, float | decimal.Decimal) and math.isnan(cell)
