"""Thinning of long curves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.report.metrics import Curve
from afina.report.thinning import thin

VALUES = st.lists(st.none() | st.floats(-1e9, 1e9), max_size=300)


@given(VALUES, st.integers(4, 50))
def test_few_points_that_are_points_of_the_curve(values: list[float | None], n_max: int) -> None:
    """No more points than asked for, each one of the curve's own, in order."""
    curve = Curve(list(range(len(values))), values)
    thinned = thin(curve, n_max)
    assert len(thinned.x) <= n_max
    assert thinned.x == sorted(set(thinned.x))
    assert all(curve.y[int(x)] == y for x, y in zip(thinned.x, thinned.y, strict=True))


@given(VALUES, st.integers(4, 50))
def test_ends_and_extremes_stay(values: list[float | None], n_max: int) -> None:
    """The first and the last value, the smallest and the largest one are kept."""
    curve = Curve(list(range(len(values))), values)
    thinned, finite = thin(curve, n_max).finite(), curve.finite()
    assert bool(finite) == bool(thinned)
    if finite:
        assert (thinned[0], thinned[-1]) == (finite[0], finite[-1])
        assert (min(thinned), max(thinned)) == (min(finite), max(finite))


def test_every_nth_point_would_lose_the_peak() -> None:
    """The seeded fault, taking every hundredth point, misses a peak that thinning keeps."""
    values: list[float | None] = [1.0] * 100_000
    values[54_321] = 99.0
    curve = Curve(list(range(100_000)), values)
    assert max(value for value in values[::100] if value is not None) == 1.0
    assert max(thin(curve).finite()) == 99.0
    assert len(thin(curve).x) <= 1000


def test_a_short_curve_keeps_its_gaps() -> None:
    """A curve that is short enough comes back as it is, with its gaps."""
    curve = Curve([1, 2, 3], [1.0, None, 2.0])
    assert thin(curve) is curve


def test_too_few_points_are_refused() -> None:
    """Two ends and two extremes are the least a curve can be thinned to."""
    with pytest.raises(ValueError, match="n_max=3"):
        thin(Curve(), 3)
