import math
from typing import get_args

import pytest
import torch
from torch import nn

from afina.nn import Scheme, fans, init_weight_, weight_std

RANDOM = [scheme for scheme in get_args(Scheme) if scheme not in ("zeros", "ones", "constant")]
GAIN = 1.7
# What each scheme's torch twin does with (weight, generator); lecun_normal is Kaiming with gain 1.
TWINS = {
    "xavier_uniform": lambda w, g: nn.init.xavier_uniform_(w, GAIN, generator=g),
    "xavier_normal": lambda w, g: nn.init.xavier_normal_(w, GAIN, generator=g),
    "kaiming_uniform": lambda w, g: nn.init.kaiming_uniform_(w, nonlinearity="relu", generator=g),
    "kaiming_normal": lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="relu", generator=g),
    "lecun_normal": lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="linear", generator=g),
    "torch": lambda w, g: nn.init.kaiming_uniform_(w, math.sqrt(5), generator=g),
}
GAINS = {"kaiming_uniform": math.sqrt(2), "kaiming_normal": math.sqrt(2), "lecun_normal": 1.0}


@pytest.mark.parametrize("scheme", RANDOM)
@pytest.mark.parametrize("shape", [(30, 20), (8, 4, 3, 3)])
def test_draws_equal_torchs(scheme: str, shape: tuple[int, ...]) -> None:
    """From the same generator a scheme draws what torch's own function draws."""
    ours, theirs = (torch.empty(shape, dtype=torch.float64) for _ in range(2))

    init_weight_(
        ours,
        scheme,
        gain=GAINS.get(scheme, GAIN),
        generator=torch.Generator().manual_seed(1),
    )
    TWINS[scheme](theirs, torch.Generator().manual_seed(1))

    # A uniform number is a multiple of the bound less the bound, so that one near 0 has what the
    # bound's last bit leaves: the smallest of many says nothing relative to itself.
    largest = float(theirs.abs().max())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14 * largest)


@pytest.mark.parametrize("scheme", RANDOM)
@pytest.mark.parametrize("fan_mode", ["fan_in", "fan_out"])
def test_the_std_is_the_formulas(scheme: str, fan_mode: str, generator: torch.Generator) -> None:
    """The drawn weights have mean 0 and the stated standard deviation."""
    weight = torch.empty(300, 200, dtype=torch.float64)

    init_weight_(weight, scheme, gain=GAIN, fan_mode=fan_mode, generator=generator)

    std = weight_std(scheme, 200, 300, gain=GAIN, fan_mode=fan_mode)
    n = weight.numel()  # bounds of six standard errors, whatever the generator's numbers
    assert weight.std().item() == pytest.approx(std, rel=6 / math.sqrt(2 * n))
    assert weight.mean().item() == pytest.approx(0.0, abs=6 * std / math.sqrt(n))


def test_the_lectures_formulas() -> None:
    """Xavier, Kaiming (gain / sqrt(fan), not sqrt(gain / fan)) and their bounds, by hand."""
    xavier = GAIN * math.sqrt(2 / (200 + 300))
    kaiming = GAIN / math.sqrt(200)

    assert weight_std("xavier_normal", 200, 300, gain=GAIN) == pytest.approx(xavier)
    assert weight_std("kaiming_normal", 200, 300, gain=GAIN) == pytest.approx(kaiming)
    assert weight_std("kaiming_normal", 200, 300, gain=GAIN) != pytest.approx(math.sqrt(GAIN / 200))
    bounds = {
        "xavier_uniform": GAIN * math.sqrt(6 / (200 + 300)),
        "kaiming_uniform": GAIN * math.sqrt(3 / 200),
        "torch": 1 / math.sqrt(200),
    }
    for scheme, bound in bounds.items():
        weight = init_weight_(torch.empty(300, 200), scheme, gain=GAIN)
        assert 0.99 * bound < weight.abs().max().item() <= bound * (1 + 1e-6)


def test_trivial_schemes() -> None:
    """Zeros, ones and constant fill any shape with one value."""
    for scheme, value in (("zeros", 0.0), ("ones", 1.0), ("constant", 0.3)):
        filled = init_weight_(torch.empty(4, dtype=torch.float64), scheme, constant=0.3)
        assert filled.tolist() == [value] * 4
        assert weight_std(scheme, 3, 3) == 0.0


def test_what_cannot_be_is_refused() -> None:
    """Unknown names are named, and a vector has no fans."""
    with pytest.raises(ValueError, match=r"scheme must be one of zeros, .*'he'"):
        init_weight_(torch.empty(2, 2), "he")
    with pytest.raises(ValueError, match="fan_mode must be"):
        init_weight_(torch.empty(2, 2), "kaiming_normal", fan_mode="fan_avg")
    with pytest.raises(ValueError, match=r"two dimensions .* weight.shape=\(3,\)"):
        fans(torch.empty(3))
