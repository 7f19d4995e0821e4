import pytest
import torch
from torch import nn

from afina.nn import dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_kept_values_are_scaled_up(p: float, generator: torch.Generator) -> None:
    """Each value is 0 or x / (1 - p), a share p is 0, and the mean stays."""
    x = torch.full((200_000,), 3.0, dtype=torch.float64)

    out = dropout(x, p, training=True, generator=generator)

    assert set(out.unique().tolist()) == {0.0, 3.0 / (1 - p)}
    assert (out == 0).double().mean().item() == pytest.approx(p, abs=0.005)
    assert out.mean().item() == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_networks_dropout_has_the_same_values(p: float) -> None:
    """Torch's module, which networks use, gives 0 or x / (1 - p) as the formula does."""
    torch.manual_seed(0)

    out = nn.Dropout(p)(torch.full((1000,), 3.0, dtype=torch.float64))

    kept = out[out != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 3.0 / (1 - p)), rtol=1e-15, atol=0)


def test_evaluation_is_the_identity() -> None:
    """In evaluation, and with p = 0, nothing is touched, not even copied."""
    x = torch.randn(5)

    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x
    assert nn.Dropout(0.5).eval()(x) is x


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_p_must_be_a_chance_below_one(p: float) -> None:
    """A chance of 1 would divide by 0, and is refused."""
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\)"):
        dropout(torch.ones(1), p, training=True)
