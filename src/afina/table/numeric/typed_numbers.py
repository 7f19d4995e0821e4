"""Numbers of typed columns, and the check that numbers are finite."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table.cells import as_one
from afina.table.numeric.whole_numbers import missing_numbers


def typed_numbers(
    column: pa.ChunkedArray,
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Read a column of numbers or booleans.

    Returns:
        The numbers (NaN where missing); and the exact whole numbers (0 where missing) if every
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


def blank_marked(
    values: NDArray[np.float64], missing_values: tuple[str, ...]
) -> NDArray[np.float64]:
    """Turn the numbers that mean "missing" into NaN."""
    marked = missing_numbers(missing_values)
    return np.where(np.isin(values, marked), np.nan, values) if marked else values


def check_finite(
    values: NDArray[np.float64],
    *,
    source: str,
    name: str,
    rows: NDArray[np.int64] | None = None,
) -> None:
    """Raise a SchemaError at the first infinite number.

    Args:
        source: the table's name in the message.
        name: the column's.
        rows: the row number (from 0) of each value in the table; None: the values are all rows.
    """
    infinite = np.isinf(values)
    if infinite.any():
        at = int(np.argmax(infinite))
        row = at if rows is None else int(rows[at])
        raise SchemaError(
            f"{source}: column {name!r} must hold finite numbers",
            but=f"row {row + 1} is infinite",
            fix="Replace it, or leave the cell empty.",
        )
