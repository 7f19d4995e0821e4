import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from afina.preprocess import Log, Quantile, fit_target

KINDS = ["log", "quantile"]
numbers = st.one_of(
    st.integers(-5, 5).map(float),
    st.floats(-1e9, 1e9),
    st.floats(allow_nan=False, allow_infinity=False),
)


def doubles(values: object) -> Tensor:
    return torch.tensor(np.asarray(values, dtype=np.float64))


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(numbers, min_size=2, max_size=40), st.lists(numbers, min_size=1, max_size=5))
def test_it_is_finite_and_rises(kind: str, values: list[float], others: list[float]) -> None:
    """Any target, seen or not, has a finite place, in the order of the targets, and back."""
    y = doubles(values)
    made = fit_target(kind, y, None)
    if made is None:
        assert len(set(values)) == 1
        return
    every = torch.cat([y, doubles(others)]).sort()[0]
    seen = made(every)

    assert seen.isfinite().all()
    assert (seen[1:] >= seen[:-1] - 1e-12 * seen[1:].abs()).all()  # but for rounding
    assert made.back(seen).isfinite().all()
    assert made.back(doubles([-1e300, -50.0, 0.0, 50.0, 1e300])).isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e12, 1e200])
@pytest.mark.parametrize("draw", ["normal", "exponential", "lognormal", "standard_cauchy"])
def test_it_is_undone(kind: str, draw: str, unit: float, rng: np.random.Generator) -> None:
    """Every training target comes back, to 1e-12 of the largest, and so do those beyond."""
    y = doubles(getattr(rng, draw)(size=500)) * unit
    made = fit_target(kind, y, None)
    assert made is not None
    spread = y.max() - y.min()
    beyond = torch.stack([y.max() + spread / 3, y.min() - spread / 3])

    largest = y.abs().max().item()
    torch.testing.assert_close(made.back(made(y)), y, rtol=0, atol=1e-12 * largest)
    torch.testing.assert_close(made.back(made(beyond)), beyond, rtol=1e-9, atol=1e-12 * largest)


def test_the_logarithm_is_its_formula() -> None:
    """sign(z) log(1 + |z|) with z = (y - lowest) / (median - lowest), where the tail is long above."""
    y = doubles([1.0, 2.0, 3.0, 4.0, 1000.0])
    z = (y - 1.0) / 2.0
    made = fit_target("log", y, None)

    assert isinstance(made, Log)
    torch.testing.assert_close(made(y), z.log1p(), rtol=1e-14, atol=0)
    assert made(doubles([-1.0])).item() == pytest.approx(-np.log(2.0))


def test_the_anchor_is_at_the_short_tail() -> None:
    """A long tail above anchors at the least, one below at the largest, two at the median."""
    tail = 1.1 ** np.arange(100)
    anchors = [
        fit_target("log", doubles(y), None).anchor.item()
        for y in (tail, -tail, np.concatenate([tail, -tail, [0.0]]))
    ]

    assert anchors == pytest.approx([1.0, -1.0, 0.0])


def test_quantiles_become_normal(rng: np.random.Generator) -> None:
    """A skewed target becomes a normal one: mean 0, deviation 1, no tails."""
    y = doubles(rng.lognormal(3.0, 1.5, 20_000))
    seen = fit_target("quantile", y, None)(y)

    assert seen.mean().item() == pytest.approx(0, abs=0.02)
    assert seen.std().item() == pytest.approx(1, abs=0.02)
    assert (seen**3).mean().item() == pytest.approx(0, abs=0.15)
    assert seen.abs().max().item() < 4.7


def test_a_tie_has_the_middle_of_its_share() -> None:
    """Where half of the targets are 0, these have the normal quantile of a quarter."""
    y = doubles([0.0] * 500 + list(range(1, 501)))
    made = fit_target("quantile", y, None)

    assert isinstance(made, Quantile)
    assert made(doubles([0.0])).item() == pytest.approx(-0.674, abs=0.06)


@pytest.mark.parametrize("kind", [*KINDS, "auto"])
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20),
    st.lists(st.integers(1, 4), min_size=20, max_size=20),
)
def test_a_weight_is_a_repetition(kind: str, values: list[float], counts: list[int]) -> None:
    """A weight of 2 is the target twice, bit for bit; equal weights are none at all."""
    y, repeats = doubles(values), torch.tensor([5, *counts[1 : len(values)]])
    one = fit_target(kind, y, repeats.double())
    two = fit_target(kind, y.repeat_interleave(repeats), None)

    assert type(one) is type(two)
    if one is not None and two is not None:
        pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_auto_is_for_skewed_targets(rng: np.random.Generator) -> None:
    """`auto` takes logarithms of a lognormal target, and leaves a normal one as it is."""
    assert fit_target("auto", doubles(rng.normal(size=900)), None) is None
    assert isinstance(fit_target("auto", doubles(rng.lognormal(size=900)), None), Log)
    assert isinstance(fit_target("auto", -doubles(rng.lognormal(size=900)), None), Log)
    assert fit_target(None, doubles(rng.lognormal(size=900)), None) is None
    assert fit_target("quantile", doubles([3.0] * 5), None) is None


def test_the_smallest_difference_has_a_place() -> None:
    """Targets half of whose difference is 0 are finite all the same: found by chance in CI."""
    made = fit_target("quantile", doubles([0.0, 5e-324]), None)

    assert made is not None
    assert made(doubles([0.0, 5e-324, 1.0])).isfinite().all()
