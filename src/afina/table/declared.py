"""Columns that a frame declares as categorical, and values of extension types."""

from collections.abc import Callable

import pyarrow as pa

from afina.errors import TableError

_KEY, _CATEGORY = b"afina", b"category"


def declare_category(field: pa.Field) -> pa.Field:
    """Mark a column as categorical, whatever its values look like."""
    return field.with_metadata({_KEY: _CATEGORY})


def is_declared_category(field: pa.Field) -> bool:
    """Return whether a column was marked by `declare_category`.

    Example:
        >>> is_declared_category(declare_category(pa.field("a", pa.int64())))
        True
    """
    return (field.metadata or {}).get(_KEY) == _CATEGORY


def categories_of_pandas(schema: pa.Schema) -> set[str]:
    """Return the columns that were categorical in pandas; Parquet keeps only their values."""
    try:
        columns = (schema.pandas_metadata or {}).get("columns", ())
        return {one["name"] for one in columns if one["pandas_type"] == "categorical"}
    except (AttributeError, KeyError, TypeError, ValueError):  # not written by pandas
        return set()


def decode(
    column: pa.ChunkedArray, clean: Callable[[pa.ChunkedArray], pa.ChunkedArray]
) -> pa.ChunkedArray:
    """Replace dictionary indices with the values that they stand for.

    Args:
        column: a column of a dictionary type.
        clean: converts the dictionary's values to a plain type.
    """
    return pa.chunked_array(
        [
            clean(pa.chunked_array([chunk.dictionary])).combine_chunks().take(chunk.indices)
            for chunk in column.chunks or [pa.array([], column.type)]
        ]
    )


def from_extension(column: pa.ChunkedArray, name: str, source: str) -> pa.ChunkedArray:
    """Turn intervals into text such as `(0.5, 1.0]`, and one-byte booleans into booleans.

    Raises:
        TableError: the column has another extension type, such as periods.
    """
    kind = column.type
    if kind.extension_name == "pandas.interval":
        texts = [_interval_text(cell, kind.closed) for cell in _storage(column).to_pylist()]
        return pa.chunked_array([texts], pa.string())
    if kind.extension_name == "arrow.bool8":
        return _storage(column).cast(pa.bool_())
    raise TableError(
        f"{source}: column {name!r} must hold text, numbers, booleans or dates",
        got=f"values of type {kind.extension_name}",
        fix="Turn them into text, for example with .astype(str), or leave the column out.",
    )


def _storage(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)


def _interval_text(cell: dict[str, object] | None, closed: str) -> str | None:
    """Write an interval as pandas does."""
    if cell is None or cell["left"] is None:
        return None
    start = "[" if closed in ("left", "both") else "("
    end = "]" if closed in ("right", "both") else ")"
    return f"{start}{cell['left']}, {cell['right']}{end}"
