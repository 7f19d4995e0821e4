import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from afina.nn import PiecewiseLinear, piecewise


def doubles(values: object) -> Tensor:
    return torch.tensor(np.asarray(values, dtype=np.float64))


def by_hand(x: np.ndarray, edges: list[np.ndarray], layer: PiecewiseLinear) -> np.ndarray:
    """Embed by the formula, cell by cell and bin by bin."""
    weight, w0, b0 = (
        part.detach().numpy() for part in (layer.weight, layer.linear_weight, layer.linear_bias)
    )
    out = np.zeros((len(x), len(edges), w0.shape[1]))
    for i, row in enumerate(x):
        for j, value in enumerate(row):
            out[i, j] = w0[j] * value + b0[j]
            for b, (left, right) in enumerate(zip(edges[j], edges[j][1:], strict=False)):
                share = min(max((value - left) / (right - left), 0.0), 1.0)
                out[i, j] += share * weight[j, b]
    return out.reshape(len(x), -1)


def made(edges: list[np.ndarray], d: int, seed: int) -> PiecewiseLinear:
    """Make a float64 layer with edges, and curves that are not flat."""
    layer = PiecewiseLinear([len(column) - 1 for column in edges], d).double()
    generator = torch.Generator().manual_seed(seed)
    layer.reset_parameters(generator)
    torch.nn.init.normal_(layer.weight, generator=generator)
    layer.set_edges_([doubles(column) for column in edges])
    return layer


columns = st.lists(
    st.lists(st.integers(-50, 50), min_size=2, max_size=7, unique=True).map(sorted),
    min_size=1,
    max_size=4,
)


@pytest.fixture(params=["products", "looked up"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute small layers in both ways; many bins are looked up in any case."""
    if request.param == "looked up":
        monkeypatch.setattr(piecewise, "_MOST_MULTIPLIED", 0)


@pytest.mark.usefixtures("way")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns, st.integers(1, 4), st.integers(0, 2**31))
def test_it_is_the_formula(edges: list[list[int]], d: int, seed: int) -> None:
    """For any edges, also of different numbers, it is w0 x + b0 + PLE(x) W, to 1e-12.

    Numbers far beyond the edges, and exactly on them, are among the rows.
    """
    rng = np.random.default_rng(seed)
    real = [np.array(column) / 7.0 for column in edges]
    x = rng.normal(0, 5, (12, len(edges)))
    x[0], x[1], x[2] = [column[0] for column in real], [column[-1] for column in real], 1e6
    layer = made(real, d, seed)

    found = layer(doubles(x)).detach().numpy()

    wanted = by_hand(x, real, layer)
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12 * np.abs(wanted).max())


def test_it_starts_as_a_line() -> None:
    """Before training the curves are straight."""
    layer = PiecewiseLinear([24, 3], 8)
    layer.set_edges_([torch.linspace(-2, 2, 25), torch.linspace(0, 1, 4)])
    x = torch.tensor([[-3.0, -3.0], [0.0, 0.0], [3.0, 3.0]])
    low, middle, high = layer(x)

    torch.testing.assert_close(middle, (low + high) / 2)


def test_beyond_the_edges_the_line_goes_on() -> None:
    """Outside of the training rows' range the slope is w0, not that of the last bin."""
    layer = made([np.array([0.0, 0.1, 1.0])], 3, 0)
    far, further = layer(doubles([[5.0], [6.0]]))

    torch.testing.assert_close(further - far, layer.linear_weight[0])


@pytest.mark.parametrize("n_bins", [49, 200])
def test_many_bins_have_the_gradients_of_few(n_bins: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked up or multiplied, outputs and gradients are the same to 1e-12."""
    layer = made([np.linspace(-1, 1, n_bins + 1) ** 3, np.array([-1.0, 0.0, 0.2])], 4, 0)
    x = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for most in (0, 10**6):
        monkeypatch.setattr(piecewise, "_MOST_MULTIPLIED", most)
        out = layer(x)
        wanted = torch.autograd.grad(out.square().sum(), list(layer.parameters()))
        found.append([out.detach(), *wanted])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12 * float(other.abs().max()))


@pytest.mark.usefixtures("way")
def test_bins_that_a_column_lacks_do_nothing() -> None:
    """Weights of empty bins change no output and get no gradient."""
    layer = made([np.linspace(0, 1, 6), np.array([0.0, 1.0])], 2, 0)
    layer(doubles([[0.3, 0.6], [9.0, 9.0]])).sum().backward()

    assert layer.weight.grad is not None
    assert layer.weight.grad[1, 1:].abs().sum() == 0
    assert (layer.weight.grad[:, 0] != 0).all()


@pytest.mark.usefixtures("way")
def test_tiny_bins_stay_finite() -> None:
    """A bin of the least width there is gives finite outputs everywhere."""
    tiny = torch.finfo(torch.float32).smallest_normal / 4
    layer = PiecewiseLinear([2], 4)
    torch.nn.init.ones_(layer.weight)
    layer.set_edges_([torch.tensor([0.0, tiny, 1.0])])
    x = torch.tensor([[0.0], [tiny], [0.5], [3e38], [-3e38]])

    assert layer(x).isfinite().all()
    assert layer.slope.isfinite().all()


@pytest.mark.usefixtures("way")
def test_rows_do_not_see_each_other(generator: torch.Generator) -> None:
    """A row alone gives what it gives in a batch."""
    layer = made([np.linspace(-1, 1, 9)] * 5, 8, 1)
    x = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    alone = torch.cat([layer(row[None]) for row in x])

    torch.testing.assert_close(alone, layer(x), rtol=1e-13, atol=1e-13)


def test_a_state_brings_its_edges() -> None:
    """Edges are part of the state: a fresh layer with it computes the same."""
    layer = made([np.array([0.0, 0.3, 1.0]), np.array([5.0, 6.0])], 2, 3).float()
    other = PiecewiseLinear(layer.n_bins, 2)
    other.load_state_dict(layer.state_dict())
    x = torch.tensor([[0.2, 5.5]])

    assert torch.equal(layer(x), other(x))


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: PiecewiseLinear([], 2), "n_bins must hold at least one bin"),
        (lambda: PiecewiseLinear([0], 2), "n_bins must hold at least one bin"),
        (lambda: PiecewiseLinear([2], 0), "n_bins must hold at least one bin"),
        (lambda: PiecewiseLinear([2], 2).set_edges_([torch.zeros(2)]), "one more edge than bins"),
        (lambda: PiecewiseLinear([1], 2).set_edges_([torch.zeros(2)]), "edges must ascend"),
    ],
)
def test_what_cannot_be_is_refused(do: object, message: str) -> None:
    """An argument out of range is refused by name."""
    with pytest.raises(ValueError, match=message):
        do()
