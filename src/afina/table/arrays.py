"""Frames and arrays that users pass: collect lazy frames, recognize missing cells."""

import decimal
import math
from collections.abc import Mapping
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_EXACT = 2**53  # beyond it, float64 does not represent every integer


def to_eager(data: Any) -> Any:
    """Collect a lazy polars frame and read an Arrow stream; return anything else unchanged.

    Example:
        >>> import polars as pl
        >>> to_eager(pl.LazyFrame({"a": [1]})).shape
        (1, 1)
    """
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, pa.RecordBatchReader):
        return data.read_all()
    native = nw.to_native(data, pass_through=True)
    return native.collect() if nw.dependencies.is_polars_lazyframe(native) else data


def is_lazy(data: Any) -> bool:
    """Return whether data is a lazy frame of any library, which holds no rows yet."""
    try:
        if isinstance(nw.from_native(data, pass_through=True), nw.LazyFrame):
            return True
    except nw.exceptions.DuplicateError:  # only eager frames can repeat names
        return False
    return callable(getattr(data, "collect", None)) and not hasattr(data, "shape")


def has_no_names(data: Any) -> bool:
    """Return whether the columns of a table are only numbered, as in an array.

    Example:
        >>> import pandas as pd
        >>> has_no_names(np.zeros((2, 3))), has_no_names(pd.DataFrame({"a": [1]}))
        (True, False)
    """
    names = getattr(data, "columns", None)
    return (isinstance(data, np.ndarray) and not data.dtype.names) or (
        type(data).__module__.partition(".")[0] == "pandas"
        and names is not None
        and not any(isinstance(name, str) for name in names)
    )


def name_columns(data: Any) -> Any:
    """Turn a structured array, or a list of mappings, into a mapping from names to columns.

    A name that a mapping lacks becomes a missing cell. Anything else is returned unchanged.

    Example:
        >>> name_columns([{"a": 1, "b": "x"}, {"a": 2}])
        {'a': [1, 2], 'b': ['x', None]}
    """
    if isinstance(data, np.ndarray) and data.dtype.names:
        return {name: fill_masked(data[name]) for name in data.dtype.names}
    if not isinstance(data, list | tuple) or not data:
        return data
    if not all(isinstance(row, Mapping) for row in data):
        return data
    names = dict.fromkeys(name for row in data for name in row)
    return {name: [row.get(name) for row in data] for name in names}


def fill_masked(data: Any) -> Any:
    """Turn masked cells of a numpy array into missing ones; return anything else unchanged.

    Example:
        >>> fill_masked(np.ma.array([1, 2], mask=[False, True]))
        array([ 1., nan])
    """
    if not isinstance(data, np.ma.MaskedArray):
        return data
    mask = np.ma.getmaskarray(data)
    cells = np.array(data.data)
    if not mask.any():
        return cells
    if cells.dtype.kind in "biu":
        large = np.abs(cells[~mask].astype(np.float64)) > _EXACT
        cells = cells.astype(object if large.any() else np.float64)
    if cells.dtype.kind == "f":
        cells[mask] = np.nan
    elif cells.dtype.kind in "mM":
        cells[mask] = np.array("NaT", dtype=cells.dtype)
    else:
        cells = cells.astype(object)
        cells[mask] = None
    return cells


def is_missing_cell(cell: object) -> bool:
    """Return whether a Python, numpy or pandas scalar stands for a missing cell.

    Example:
        >>> is_missing_cell(None), is_missing_cell(float("nan")), is_missing_cell("")
        (True, True, False)
    """
    if isinstance(cell, str):
        return False
    if isinstance(cell, np.generic):
        return missing_mask(np.asarray(cell)).item()
    if isinstance(cell, float | decimal.Decimal):
        return math.isnan(cell)
    return cell is None or cell is np.ma.masked or type(cell).__name__ in ("NAType", "NaTType")


def missing_mask(cells: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark the missing cells of an array."""
    mask: Any = np.zeros(cells.shape, dtype=bool)
    if cells.dtype.kind == "f":
        mask = np.isnan(cells)
    elif cells.dtype.kind in "mM":
        mask = np.isnat(cells)
    elif cells.dtype.kind == "O":
        mask = np.frompyfunc(is_missing_cell, 1, 1)(cells)
    return np.asarray(mask, dtype=bool)
