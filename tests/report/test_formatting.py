"""Text and figures for the page."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.report.formatting import clean, figure, pair, seconds

FINITE = st.floats(-1e300, 1e300)


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs"])))
def test_control_letters_are_shown(text: str) -> None:
    """Letters that would turn or hide what follows are replaced by a mark."""
    assert set(clean(text)) <= {"\ufffd", "\n", "\t", "…"}


@given(FINITE)
def test_a_figure_is_the_number(value: float) -> None:
    """A figure reads back as the number, to the digits it shows."""
    read = float(figure(value).replace(",", ""))
    assert math.isclose(read, value, rel_tol=0.006, abs_tol=1e-300)


@pytest.mark.parametrize("value", [0.9996, 0.99999, 0.9999999])
def test_almost_one_is_not_one(value: float) -> None:
    """An accuracy below 1 is not shown as 1."""
    assert figure(value).startswith("0.999")


@given(FINITE, FINITE)
def test_the_better_of_two_is_seen(one: float, other: float) -> None:
    """Two numbers that differ by a ten-thousandth are not shown as equal."""
    if abs(one - other) > 1e-4 * max(abs(one), abs(other)) and max(abs(one), abs(other)) < 1000:
        assert pair(one, other)[0] != pair(one, other)[1]


@pytest.mark.parametrize(
    ("value", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (3600, "1 h 0 min"), (90, "1 min 30 s")]
)
def test_durations(value: float, text: str) -> None:
    """A duration has at most two units."""
    assert seconds(value) == text
