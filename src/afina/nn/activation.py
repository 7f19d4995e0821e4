"""Activations by name, and the gain for the weights before each of them."""

import math

import torch
from torch import Tensor, nn

from afina.nn.arguments import check_choice, check_sizes
from afina.nn.choices import ActivationName

_MODULES: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "selu": nn.SELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "mish": nn.Mish,
}

# gelu, silu, mish and elu: the g with E[f(g z)^2] = 1 for z ~ N(0, 1), so that inputs with a mean
# square of 1 keep it through the layer and its activation. For relu the same equation gives
# sqrt(2). The alternative, 1 / sqrt(E[f(z)^2]), keeps unit variance before the activation and is
# much less stable with depth for these functions: docs/design/init.md.
_GAINS: dict[str, float] = {
    "relu": math.sqrt(2.0),
    "gelu": 1.4680112605,
    "silu": 1.5587599301,
    "mish": 1.4514912400,
    "elu": 1.2779600754,
    "selu": 0.75,
    "tanh": 5.0 / 3.0,
    "sigmoid": 1.0,
    "none": 1.0,
}


def make_activation(name: ActivationName) -> nn.Module:
    """Make an activation module by its name.

    Raises:
        ValueError: the name is unknown.

    Example:
        >>> make_activation("silu")
        SiLU()
    """
    check_choice("activation", name, _MODULES)
    return _MODULES[name]()


def activation_gain(name: str, *, negative_slope: float = 0.01) -> float:
    """Return the factor for a layer's weights that offsets the shrinkage caused by its activation.

    relu, leaky_relu, gelu, silu, mish, elu: the g that solves E[f(g z)^2] = 1 for a standard normal
        z (in closed form: sqrt(2) for relu, sqrt(2 / (1 + slope^2)) for leaky_relu). tanh: 5/3,
        sigmoid: 1, and selu: 3/4, as in torch; `lecun_normal`, for which selu was designed, needs
        no gain. none: 1.

    Args:
        negative_slope: slope of leaky_relu below 0; other activations ignore it.

    Raises:
        ValueError: no gain is known for the name.

    Example:
        >>> round(activation_gain("relu"), 4)
        1.4142
    """
    if name == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + negative_slope * negative_slope))
    check_choice("name", name, sorted([*_GAINS, "leaky_relu"]))
    return _GAINS[name]


class ParametricActivation(nn.Module):
    """Mix an activation with its input by a trained share for each unit: `z + a (act(z) - z)`.

    Shape:
        (*, n_units) -> (*, n_units)

    Args:
        name: name of the activation.
        n_units: number of units, at least 1; each share starts at 1, which gives the activation
            itself.

    Example:
        >>> ParametricActivation("relu", 2)(torch.tensor([[-1.0, 1.0]])).tolist()
        [[0.0, 1.0]]

    Source: Holzmueller, Grinsztajn & Steinwart 2024, arXiv:2407.04491, section 3.
    """

    def __init__(self, name: ActivationName, n_units: int) -> None:
        check_sizes(n_units=n_units)
        super().__init__()
        self.activation = make_activation(name)
        self.share = nn.Parameter(torch.ones(n_units))

    def forward(self, x: Tensor) -> Tensor:
        kind = x.dtype  # autocast may have lowered it
        return torch.lerp(x, self.activation(x).to(kind), self.share.to(kind))
