"""Any distribution becomes a normal one."""

import math

import numpy as np
import pytest
import sklearn.preprocessing as reference
import torch

from afina.preprocess import QuantileNormal
from afina.preprocess.quantile import last_knot_below


def doubles(values: object) -> torch.Tensor:
    """Make one column of float64."""
    return torch.tensor(np.asarray(values, dtype=np.float64)).reshape(-1, 1)


@pytest.mark.parametrize("kind", ["normal", "exponential", "cauchy", "uniform"])
def test_continuous_columns_are_as_with_scikit_learn(rng: np.random.Generator, kind: str) -> None:
    """Without ties the scores are those of QuantileTransformer, between the outermost quantiles."""
    draw = {"normal": rng.normal, "exponential": rng.exponential}
    draw |= {"cauchy": rng.standard_cauchy, "uniform": rng.uniform}
    x = doubles(draw[kind](size=3000))
    ours = QuantileNormal().fit(x)
    theirs = reference.QuantileTransformer(
        n_quantiles=100, output_distribution="normal", subsample=None
    ).fit(x.numpy())
    inside = (x > ours.knots[1]) & (x < ours.knots[-2])

    assert len(ours.knots) == 100
    np.testing.assert_allclose(ours.knots, theirs.quantiles_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        ours(x)[inside], theirs.transform(x.numpy())[inside.numpy()], atol=0.03
    )


def test_the_ends_are_those_of_scikit_learn() -> None:
    """The smallest and the largest value, and all beyond, become -5.2 and 5.2."""
    x = doubles(np.arange(600))
    y = QuantileNormal().fit(x)(doubles([-1e300, 0, 599, math.inf]))

    np.testing.assert_allclose(y.flatten(), [-5.199338, -5.199338, 5.199338, 5.199338], rtol=1e-5)


def test_a_tie_gets_the_middle_of_its_share() -> None:
    """Of a column that is 0 in 60 of 100 rows, 0 becomes the normal quantile of 0.3."""
    x = doubles([0.0] * 600 + list(range(1, 401)))
    y = QuantileNormal().fit(x)(doubles([0.0, -1.0]))
    expected = torch.special.ndtri(torch.tensor(0.3))

    np.testing.assert_allclose(y.flatten(), [expected, expected], atol=0.03)


def test_two_values_become_two_scores() -> None:
    """A column of 0 and 1 keeps two values, on the two sides of 0, at their shares' middles."""
    y = QuantileNormal().fit(doubles([0] * 70 + [1] * 30))(doubles([0, 1, 0.5]))
    low, high = torch.special.ndtri(torch.tensor([0.35, 0.85])).tolist()

    assert y[0].item() == pytest.approx(low, abs=0.2)
    assert y[1].item() == pytest.approx(high, abs=0.2)
    assert y[2].item() == pytest.approx((y[0].item() + y[1].item()) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("n_rows", "n_quantiles"), [(1, 10), (300, 10), (3000, 100), (99999, 1000)]
)
def test_the_number_of_quantiles_follows_the_rows(n_rows: int, n_quantiles: int) -> None:
    """A quantile for every 30 rows, at least 10 and at most 1000; weights count as rows."""
    x = doubles(np.arange(n_rows))

    assert len(QuantileNormal().fit(x).knots) == n_quantiles
    if n_rows == 300:
        w = torch.arange(300) % 3 * 10
        assert len(QuantileNormal().fit(x, w).knots) == 100


def test_the_search_finds_what_numpy_finds(rng: np.random.Generator) -> None:
    """The unrolled binary search is `searchsorted`, for any number of knots."""
    for n_knots in (1, 2, 3, 7, 8, 10, 33, 1000):
        knots = doubles(np.sort(rng.integers(0, 50, n_knots)))
        x = doubles(np.append(rng.integers(0, 50, 200), knots[:, 0].numpy())).maximum(knots[0])
        expected = np.searchsorted(knots[:, 0].numpy(), x[:, 0].numpy(), side="right") - 1

        assert last_knot_below(x, knots)[:, 0].tolist() == expected.tolist()


def test_no_columns_are_no_columns() -> None:
    """A table without numbers goes through."""
    fitted = QuantileNormal().fit(torch.zeros(5, 0))

    assert fitted(torch.zeros(3, 0)).shape == (3, 0)
