import math

import pytest
import torch
from torch import Tensor, nn

from afina.nn import QuickDropout, dropout, quick_dropout

# A sound draw misses a bound of six standard errors twice in a thousand million times. Which draw
# it is differs between machines: torch takes Bernoulli numbers from MKL where it has that.
ERRORS = 6


def check_law(out: Tensor, p: float) -> None:
    """Compare the share of zeros, and the mean of what was 3 everywhere, with the law's."""
    share_error = ERRORS * math.sqrt(p * (1 - p) / len(out))

    assert (out == 0).double().mean().item() == pytest.approx(p, abs=share_error)
    assert out.mean().item() == pytest.approx(3.0, abs=3.0 * share_error / (1 - p))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_kept_values_are_scaled_up(p: float, generator: torch.Generator) -> None:
    """Each value is 0 or x / (1 - p), a share p is 0, and the mean stays."""
    x = torch.full((200_000,), 3.0, dtype=torch.float64)

    out = dropout(x, p, training=True, generator=generator)

    assert set(out.unique().tolist()) == {0.0, 3.0 / (1 - p)}
    check_law(out, p)


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


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_quick_one_has_the_same_law(p: float) -> None:
    """Each value is 0 or x / (1 - p), a share p is 0, the mean stays; p in steps of 1/256."""
    torch.manual_seed(0)
    x = torch.full((200_003,), 3.0, dtype=torch.float64)

    out = quick_dropout(x, p, training=True)

    kept = out[out != 0]
    share = round(256 * p) / 256
    assert len(kept.unique()) == 1
    assert kept[0].item() == pytest.approx(3.0 / (1 - share), rel=1e-12)
    check_law(out, share)
    # No place of the eight in a word, and no neighbor, is dropped more often than another.
    zero = (out[:200_000] == 0).double()
    places = zero.view(-1, 8).mean(0)
    assert (places - share).abs().max() < ERRORS * math.sqrt(share * (1 - share) / 25_000)
    pairs = (zero[1:] - share) * (zero[:-1] - share)
    assert abs(pairs.mean().item()) < ERRORS * share * (1 - share) / math.sqrt(len(pairs))


@pytest.mark.parametrize("shape", [(0, 3), (1,), (5, 3), (2, 3, 7)])
def test_the_quick_one_takes_any_shape(shape: tuple[int, ...]) -> None:
    """Shape and type stay, also where the values do not fill whole words."""
    out = QuickDropout(0.5)(torch.ones(shape))

    assert out.shape == shape
    assert out.dtype == torch.float32


def test_the_quick_one_repeats_with_its_seed() -> None:
    """The same seed gives the same mask; the gradient is the mask's."""
    x = torch.randn(50, requires_grad=True)
    outs = []
    for _ in range(2):
        torch.manual_seed(3)
        outs.append(quick_dropout(x, 0.3, training=True))
    outs[0].sum().backward()

    assert torch.equal(outs[0], outs[1])
    torch.testing.assert_close(x.grad * x, outs[0])
    assert quick_dropout(x, 0.3, training=False) is x
    assert QuickDropout(0.3).eval()(x) is x


def test_the_quick_one_refuses_what_cannot_be() -> None:
    """A chance outside of [0, 1) is named."""
    with pytest.raises(ValueError, match="p must be in"):
        QuickDropout(1.0)
