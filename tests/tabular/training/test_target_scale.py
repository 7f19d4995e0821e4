import numpy as np
import pytest
import torch

from afina.tabular.training.target_scale import fit_target_scale, make_target_scale

KINDS = [None, "log", "quantile"]


@pytest.mark.parametrize("kind", KINDS)
def test_targets_are_standardized(kind: str, rng: np.random.Generator) -> None:
    """What the network is trained on has weighted mean 0 and deviation 1, and can be undone."""
    y, weights = rng.lognormal(2, 1, 400) - 3, rng.integers(1, 4, 400).astype(float)
    made = fit_target_scale(y, weights, kind, clips=False)
    seen = made.standardize(torch.from_numpy(y))

    assert np.average(seen.numpy(), weights=weights) == pytest.approx(0, abs=1e-12)
    assert np.average(seen.numpy() ** 2, weights=weights) == pytest.approx(1)
    np.testing.assert_allclose(made.undo(seen).numpy(), y, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(made(seen).numpy(), y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_clipped_where_asked(kind: str, rng: np.random.Generator) -> None:
    """With `clips` no prediction leaves the training range; `undo` still gives what was there."""
    y = rng.normal(10, 1, 200)
    made = fit_target_scale(y, np.ones(200), kind, clips=True)
    far = torch.tensor([-1e30, -50.0, 50.0, 1e30])
    beyond = torch.tensor([y.max() + 1.0], dtype=torch.float64)

    assert made(far).tolist() == [y.min(), y.min(), y.max(), y.max()]
    assert made.undo(made.standardize(beyond)).item() == pytest.approx(y.max() + 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clips", [False, True])
def test_a_state_brings_everything(kind: str, clips: bool, rng: np.random.Generator) -> None:
    """A module built from kind and knots, with the state loaded, does the same."""
    made = fit_target_scale(rng.lognormal(size=300), np.ones(300), kind, clips=clips)
    other = make_target_scale(made.kind, made.n_knots, clips=made.clips)
    other.load_state_dict(made.state_dict())
    x = torch.linspace(-3, 3, 50)

    assert torch.equal(made(x), other(x))


@pytest.mark.parametrize("kind", [*KINDS, "auto"])
def test_a_constant_target(kind: str) -> None:
    """A target that does not vary comes back, whatever was asked for."""
    made = fit_target_scale(np.full(9, 7.0), np.ones(9), kind, clips=False)

    assert made(made.standardize(torch.full((2,), 7.0))).tolist() == [7.0, 7.0]
