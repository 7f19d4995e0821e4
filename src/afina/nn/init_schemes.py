"""Initialize a single weight tensor by a named scheme."""

import math
from typing import get_args

import torch
from torch import Tensor

from afina.nn.arguments import check_choice
from afina.nn.choices import FanMode, Scheme


def fans(weight: Tensor) -> tuple[int, int]:
    """Return how many inputs an output sums over, and how many outputs an input feeds.

    Shape:
        (d_out, d_in, *kernel) -> fan_in = d_in * prod(kernel), fan_out = d_out * prod(kernel)

    Raises:
        ValueError: the tensor has fewer than two dimensions, and therefore no fans.

    Example:
        >>> fans(torch.empty(8, 3, 5, 5))
        (75, 200)
    """
    if weight.ndim < 2:
        raise ValueError(
            "weight must have at least two dimensions to have fans; got "
            f"weight.shape={tuple(weight.shape)}. Use the scheme zeros, ones or constant."
        )
    kernel = math.prod(weight.shape[2:])
    return weight.shape[1] * kernel, weight.shape[0] * kernel


def weight_std(
    scheme: Scheme, fan_in: int, fan_out: int, *, gain: float = 1.0, fan_mode: FanMode = "fan_in"
) -> float:
    """Return the standard deviation of the weights that a scheme draws; 0 for constant schemes.

    Xavier: gain * sqrt(2 / (fan_in + fan_out)). Kaiming: gain / sqrt(fan). LeCun: gain /
    sqrt(fan_in). torch: 1 / sqrt(3 * fan_in), without gain. The bound of a uniform scheme is
    sqrt(3) times as large.

    Raises:
        ValueError: the scheme or fan_mode is unknown.

    Example:
        >>> weight_std("kaiming_normal", 50, 100, gain=2.0**0.5)
        0.2

    Source: Glorot & Bengio 2010 (Xavier); He et al. 2015, arXiv:1502.01852 (Kaiming); LeCun et al.
        1998, Efficient BackProp, section 4.6.
    """
    check_choice("fan_mode", fan_mode, get_args(FanMode))
    fan_in, fan_out = max(fan_in, 1), max(fan_out, 1)
    match scheme:
        case "zeros" | "ones" | "constant":
            return 0.0
        case "xavier_uniform" | "xavier_normal":
            return gain * math.sqrt(2.0 / (fan_in + fan_out))
        case "kaiming_uniform" | "kaiming_normal":
            return gain / math.sqrt(fan_in if fan_mode == "fan_in" else fan_out)
        case "lecun_normal":
            return gain / math.sqrt(fan_in)
        case "torch":
            return 1.0 / math.sqrt(3.0 * fan_in)
        case _:
            raise ValueError(f"scheme must be one of {', '.join(get_args(Scheme))}; got {scheme=}.")


@torch.no_grad()
def init_weight_(
    weight: Tensor,
    scheme: Scheme,
    *,
    gain: float = 1.0,
    fan_mode: FanMode = "fan_in",
    constant: float = 0.01,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill a weight in place according to a scheme; see `weight_std` for the formulas.

    Args:
        weight: (d_out, d_in, *kernel); any shape for zeros, ones and constant.
        gain: factor for the activation that follows (`activation_gain`); the scheme `torch`
            ignores it.
        fan_mode: for Kaiming, fan_in preserves the variance in the forward pass, fan_out in the
            backward pass.
        constant: the value of the scheme `constant`.
        generator: source of the draws. None: torch's global one.

    Returns:
        The weight itself.

    Raises:
        ValueError: the scheme or fan_mode is unknown, or the weight has no fans.

    Example:
        >>> init_weight_(torch.empty(2, 2), "constant", constant=0.5).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    if scheme in ("zeros", "ones", "constant"):
        return weight.fill_({"zeros": 0.0, "ones": 1.0, "constant": constant}[scheme])
    std = weight_std(scheme, *fans(weight), gain=gain, fan_mode=fan_mode)
    if scheme in ("xavier_uniform", "kaiming_uniform", "torch"):
        bound = math.sqrt(3.0) * std
        return weight.uniform_(-bound, bound, generator=generator)
    return weight.normal_(0.0, std, generator=generator)
