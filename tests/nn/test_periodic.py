import numpy as np
import pytest
import torch

from afina.nn import Periodic


@pytest.mark.parametrize(("n_columns", "d", "n_frequencies"), [(1, 2, 1), (3, 4, 16), (5, 8, 3)])
def test_it_is_the_formula(n_columns: int, d: int, n_frequencies: int, seed: int) -> None:
    """It is concat(cos(2 pi w x + b) W + c, x) for each column, to 1e-12."""
    layer = Periodic(n_columns, d, n_frequencies=n_frequencies, sigma=0.5).double()
    layer.reset_parameters(torch.Generator().manual_seed(seed))
    x = np.random.default_rng(seed).normal(size=(9, n_columns))
    w, b, weight, c = (
        part.detach().numpy() for part in (layer.frequency, layer.phase, layer.weight, layer.bias)
    )
    parts = []
    for j in range(n_columns):
        waves = np.cos(2 * np.pi * x[:, [j]] * w[j] + b[j]) @ weight[j] + c[j]
        parts += [waves, x[:, [j]]]

    found = layer(torch.from_numpy(x)).detach().numpy()

    np.testing.assert_allclose(found, np.concatenate(parts, axis=1), rtol=1e-12, atol=1e-12)


def test_it_starts_as_said(generator: torch.Generator) -> None:
    """Frequencies start as N(0, sigma), phases all around, weights within 1 / sqrt(waves)."""
    layer = Periodic(200, 4, sigma=0.3)
    layer.reset_parameters(generator)

    error = 6 / (2 * layer.frequency.numel()) ** 0.5  # six standard errors of a deviation
    assert layer.frequency.std().item() == pytest.approx(0.3, rel=error)
    assert layer.phase.abs().max().item() == pytest.approx(np.pi, rel=0.01)
    assert layer.weight.abs().max().item() == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize("arguments", [(0, 2), (1, 1)])
def test_what_cannot_be_is_refused(arguments: tuple[int, int]) -> None:
    """Sizes below the minimum and a deviation of 0 are refused by name."""
    with pytest.raises(ValueError, match="n_columns and n_frequencies"):
        Periodic(*arguments)
    with pytest.raises(ValueError, match="sigma"):
        Periodic(1, 2, sigma=0.0)
