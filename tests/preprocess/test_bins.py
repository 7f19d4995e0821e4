import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from afina.preprocess import column_edges

cells = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, width=32), st.just(np.nan))


def edges_of(x: np.ndarray, weights: np.ndarray | None = None, n_bins: int = 4) -> dict:
    given_weights = None if weights is None else torch.from_numpy(weights)
    x = np.asarray(x, dtype=np.float32)
    return column_edges(torch.from_numpy(x), given_weights, n_bins, columns=range(x.shape[1]))


def test_edges_are_quantiles(rng: np.random.Generator) -> None:
    """Of many distinct values the edges are their quantiles, as numpy computes them."""
    x = rng.exponential(size=(1000, 1)).astype(np.float32)
    wanted = np.quantile(x[:, 0].astype(np.float64), np.linspace(0, 1, 25))

    found = edges_of(x, n_bins=24)[0]

    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)


def test_few_values_are_edges_themselves() -> None:
    """Up to n_bins + 1 distinct values are the edges, however often each occurs."""
    x = np.array([[0.0]] * 50 + [[1.0], [2.0], [5.0]])

    assert edges_of(x, n_bins=3)[0].tolist() == [0.0, 1.0, 2.0, 5.0]


def test_two_values_need_no_curve() -> None:
    """Constant, empty and two-valued columns get no edges."""
    x = np.array([[1.0, 0.0, np.nan, 2.0], [1.0, 1.0, np.nan, 3.0], [1.0, 0.0, np.nan, 4.0]])

    assert list(edges_of(x)) == [3]


@given(
    st.lists(st.tuples(cells, cells), min_size=1, max_size=30),
    st.integers(1, 6),
    st.data(),
)
def test_any_column_has_ascending_edges(
    rows: list[tuple[float, float]], n_bins: int, data: st.DataObject
) -> None:
    """Edges ascend strictly, span the values, are at most n_bins + 1; a weight is a repetition."""
    x = np.array(rows)
    weights = np.array(data.draw(st.lists(st.integers(1, 4), min_size=len(x), max_size=len(x))))
    weights[0] = 5  # equal weights would be none at all
    found = edges_of(x, weights.astype(float), n_bins)
    repeated = edges_of(np.repeat(x, weights, axis=0), None, n_bins)

    assert list(found) == list(repeated)
    for column, edges in found.items():
        assert torch.equal(edges, repeated[column])
        values = x[:, column].astype(np.float32)
        assert (edges[1:] > edges[:-1]).all()
        assert 3 <= len(np.unique(values[~np.isnan(values)]))
        assert 2 <= len(edges) <= n_bins + 1
        assert edges[0] == np.nanmin(values)
        assert edges[-1] == np.nanmax(values)


def test_no_bin_is_refused() -> None:
    """There must be a bin."""
    with pytest.raises(ValueError, match="n_bins must be at least 1"):
        edges_of(np.zeros((2, 1)), n_bins=0)
