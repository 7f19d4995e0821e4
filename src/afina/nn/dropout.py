"""Dropout with inverted scaling, spelled out; networks use torch's own `nn.Dropout`."""

import torch
from torch import Tensor


def dropout(
    x: Tensor, p: float, *, training: bool, generator: torch.Generator | None = None
) -> Tensor:
    """Zero each value with probability p and divide the rest by 1 - p; do nothing in evaluation.

    Dividing while training keeps the mean, so evaluation needs no factor.

    Shape:
        (*) -> (*)

    Args:
        p: chance that a value is zeroed, in [0, 1).
        generator: source of the mask; None is torch's global one.

    Raises:
        ValueError: p outside of [0, 1).

    Example:
        >>> dropout(torch.ones(2), p=0.5, training=False).tolist()
        [1.0, 1.0]

    Source: Srivastava et al. 2014, JMLR 15, section 10 (scaling while training).
    """
    if not 0.0 <= p < 1.0:
        raise ValueError(f"p must be in [0, 1), however: {p=}. Use 0.0 to disable.")
    if not training or p == 0.0:
        return x
    keep = torch.empty_like(x).bernoulli_(1.0 - p, generator=generator)
    return x * keep / (1.0 - p)
