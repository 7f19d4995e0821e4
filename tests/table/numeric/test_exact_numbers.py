"""Whole numbers are read exactly, and equal numbers share one text."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.table.numeric import canonical_number, whole_cells
from afina.table.numeric.exact_numbers import exceeds_int64, missing_numbers


@given(value=st.integers())
def test_whole_numbers_are_exact(value: int) -> None:
    """Whole numbers of 64 bits are kept digit by digit; longer ones are named as such."""
    plain = pa.array([str(value), f"+{abs(value)}", f"{value}.0", "1.5", None])

    whole, read = whole_cells(plain)

    inside = -(2**63) <= value < 2**63
    both = abs(value) < 2**63
    assert read.tolist() == [inside, both, inside, False, False]
    assert whole.tolist() == [value * inside, abs(value) * both, value * inside, 0, 0]
    assert exceeds_int64(pa.array([str(value)])).tolist() == [not inside]


@given(value=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70))
def test_canonical_numbers(value: float) -> None:
    """However a number is written, one text stands for it."""
    texts = {str(value), f"{value}.0" if isinstance(value, int) else str(value)}
    if not isinstance(value, int) or abs(value) < 2**53:  # a float of it is exact
        texts |= {repr(float(value)), f"{float(value):.17e}"}
    if value == 0:
        texts = {"0", "0.0", "-0", "-0.0", "+0"}

    assert len({canonical_number(text) for text in texts}) == 1


@pytest.mark.parametrize("text", ["01", "abc", "", "1,5", " 1", "nan", "1e999x", "٣", "-", "00"])
def test_not_canonical(text: str) -> None:
    """Codes and words have no canonical number."""
    assert canonical_number(text) is None


def test_missing_numbers() -> None:
    """Of the words for "missing", numbers also count by value."""
    assert missing_numbers(("-999", "x", "99.0")) == (-999.0, 99.0)
