"""Read numbers exactly: whole numbers, typed columns, one spelling for equal numbers."""

import re
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table.cells import as_mask, as_one
from afina.table.numeric.number_format import EXPONENT

_WHOLE = r"^[+-]?[0-9]+$"
_MOST_DIGITS = 40
_CANONICAL = re.compile(rf"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+){EXPONENT}", re.ASCII)


def whole_number(plain: str) -> int | None:
    """Read a number in plain text as `whole_cells` does; None if it is not whole.

    Raises:
        ValueError: the text is too long.
    """
    if len(plain) > _MOST_DIGITS:
        raise ValueError(f"plain must have at most {_MOST_DIGITS} characters; got {plain!r}.")
    head, _, tail = plain.partition(".")
    if tail.strip("0") or not head.lstrip("+-").isdigit():
        return None
    whole = int(head)
    return whole if -(2**63) <= whole < 2**63 else None


def whole_cells(plain: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read whole numbers in plain text exactly, including those that end in `.0`.

    Returns:
        The numbers (0 for a cell that is null, not whole, or beyond int64), and which cells were
        read.
    """
    try:
        whole = plain.cast(pa.int64())
    except pa.ArrowInvalid:
        digits = pc.replace_substring_regex(plain, r"^\+|\.0*$", "")
        fits = pc.and_(
            pc.match_substring_regex(digits, _WHOLE), pc.invert(pa.array(exceeds_int64(digits)))
        )
        whole = pc.if_else(fits, digits, None).cast(pa.int64())
    return np.asarray(whole.fill_null(0).to_numpy(zero_copy_only=False)), as_mask(whole.is_valid())


def exceeds_int64(plain: pa.Array) -> NDArray[np.bool_]:
    """Mark the plain text that is a whole number outside the range of int64."""
    mask = as_mask(pc.match_substring_regex(plain, r"^[+-]?[0-9]{19,}$").fill_null(False)).copy()
    for at in np.flatnonzero(mask):
        digits = plain[int(at)].as_py()
        mask[at] = len(digits) > _MOST_DIGITS or not -(2**63) <= int(digits) < 2**63
    return mask


@cache
def missing_numbers(words: tuple[str, ...]) -> tuple[float, ...]:
    """Return the numbers among the words that mean "missing"."""
    return tuple(float(word) for word in words if canonical_number(word.strip()) is not None)


def canonical_number(text: str) -> str | None:
    """Return the canonical spelling of a plain number; None for any other text.

    Example:
        >>> canonical_number("1.0"), canonical_number("+1"), canonical_number("1e-1")
        ('1', '1', '0.1')
        >>> canonical_number("01"), canonical_number("9007199254740993")
        (None, '9007199254740993')
    """
    if not _CANONICAL.fullmatch(text):
        return None
    digits = text.rstrip("0").removesuffix(".") if "." in text and "e" not in text.lower() else text
    if digits.lstrip("+-").isdigit():
        return str(int(digits)) if len(digits) < 1000 else None
    value = float(text)
    return str(int(value)) if value.is_integer() and abs(value) < 2**63 else repr(value)


def typed_numbers(
    column: pa.ChunkedArray,
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Read a numeric or boolean column.

    Returns:
        The numbers (NaN where missing); and, if all are whole and fit int64, the same numbers
        as exact integers (0 where missing), otherwise None.
    """
    array = as_one(column)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int64())
    if pa.types.is_integer(array.type):
        values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        try:
            whole = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:  # unsigned, and too large for int64
            return values, None
        return values, np.asarray(whole)
    values = np.asarray(array.to_numpy(zero_copy_only=False))
    return values, whole_if_exact(values)


def whole_if_exact(values: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Turn floats into exact integers (0 for NaN); None unless all are whole and fit int64."""
    filled = np.where(np.isnan(values), 0.0, values)
    exact = (filled == np.floor(filled)) & (np.abs(filled) < 2.0**63)
    return filled.astype(np.int64) if exact.all() else None


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
        source: the table's name for the message.
        name: name of the column.
        rows: row number of each value in the table, from 0. None: there is a value for every row.
    """
    infinite = np.isinf(values)
    if infinite.any():
        row = int(np.argmax(infinite) if rows is None else rows[infinite][0])
        raise infinite_error(f"{source}: column {name!r}", f"row {row + 1} is infinite")


def infinite_error(where: str, but: str) -> SchemaError:
    """Return an error: a column holds an infinite number."""
    return SchemaError(
        f"{where} must hold finite numbers", but=but, fix="Replace it, or leave the cell empty."
    )
