import math
from typing import get_args

import pytest
import torch
from torch import nn
from torch.nn import functional

from afina.nn import ActivationName, ParametricActivation, activation_gain, make_activation

BALANCED = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "mish": functional.mish,
    "elu": functional.elu,
    "leaky_relu": functional.leaky_relu,
}


def mean_square(activation: object, scale: float) -> float:
    """Compute E[f(scale z)^2] for a standard normal z by the trapezoid rule on a fine grid."""
    z = torch.linspace(-14.0, 14.0, 280_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return float(torch.trapezoid(activation(scale * z).square() * density, z))


@pytest.mark.parametrize("name", BALANCED)
def test_the_gain_keeps_the_mean_square(name: str) -> None:
    """Unit-normal input, scaled by the gain, has mean square 1 behind the activation."""
    assert mean_square(BALANCED[name], activation_gain(name)) == pytest.approx(1.0, abs=1e-9)


def test_selu_keeps_the_mean_square_without_a_gain() -> None:
    """Selu is made for weights of variance 1 / fan_in, which is lecun_normal without a gain."""
    assert mean_square(functional.selu, 1.0) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "selu"])
def test_gains_that_torch_knows_are_torchs(name: str) -> None:
    """For relu, tanh, sigmoid and selu the gain is torch's."""
    assert activation_gain(name) == pytest.approx(nn.init.calculate_gain(name), abs=1e-15)


def test_the_slope_of_leaky_relu_counts() -> None:
    """The gain of leaky_relu follows its slope, as torch's does."""
    expected = nn.init.calculate_gain("leaky_relu", 0.3)

    assert activation_gain("leaky_relu", negative_slope=0.3) == pytest.approx(expected)


@pytest.mark.parametrize("name", get_args(ActivationName))
def test_make_activation_makes_what_the_name_says(name: str) -> None:
    """Each name gives the module that computes torch's function of that name."""
    x = torch.linspace(-3, 3, 13)
    function = getattr(functional, name, None) or getattr(torch, name)

    assert torch.equal(make_activation(name)(x), function(x))


def test_unknown_names_are_refused() -> None:
    """An unknown activation is named, with those that are known."""
    with pytest.raises(ValueError, match=r"activation must be one of relu, .* activation='swish'"):
        make_activation("swish")
    with pytest.raises(ValueError, match=r"must be one of elu.*got name='swish'"):
        activation_gain("swish")


@pytest.mark.parametrize("name", get_args(ActivationName))
def test_the_parametric_form_is_its_formula(name: str, generator: torch.Generator) -> None:
    """Z + a (f(z) - z) in values, and in gradients by a and z, to 1e-12; it starts as f."""
    layer = ParametricActivation(name, 5).double()
    x = torch.randn(7, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(layer(x), make_activation(name)(x))
    nn.init.normal_(layer.share, generator=generator)
    share = layer.share.detach().clone().requires_grad_()
    wanted = x + share * (make_activation(name)(x) - x)
    found = layer(x)

    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    ours = torch.autograd.grad(found.square().sum(), (x, layer.share))
    theirs = torch.autograd.grad(wanted.square().sum(), (x, share))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_parametric_activation_needs_units() -> None:
    """There must be a unit."""
    with pytest.raises(ValueError, match="n_units must be at least 1"):
        ParametricActivation("relu", 0)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", get_args(ActivationName))
@pytest.mark.parametrize("normed", [False, True])
def test_a_parametric_activation_trains_in_half_precision(
    name: str, precision: torch.dtype, normed: bool
) -> None:
    """What autocast lowers, or raises again behind a norm, meets shares of float32."""
    layer = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4) if normed else nn.Identity())
    active = ParametricActivation(name, 4)
    with torch.autocast("cpu", dtype=precision):
        inputs = layer(torch.ones(2, 3))
        outputs = active(inputs)
    outputs.float().sum().backward()

    assert outputs.dtype == inputs.dtype
    assert active.share.grad is not None
    assert active.share.grad.dtype == torch.float32
