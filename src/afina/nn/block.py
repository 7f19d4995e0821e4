"""A hidden block: a linear layer with its activation, normalization and dropout."""

from collections import OrderedDict
from typing import get_args

from torch import Tensor, nn

from afina.nn.activation import ParametricActivation, make_activation
from afina.nn.arguments import check_choice, check_probability
from afina.nn.choices import ActivationName, NormKind, NormPlace
from afina.nn.drop import QuickDropout
from afina.nn.norm import make_norm


def needs_bias(norm: NormKind | None, norm_place: NormPlace) -> bool:
    """Return whether the linear layer needs a bias, which a batch norm right after it cancels."""
    return not (norm == "batch" and norm_place == "post")


class Block(nn.Module):
    """Apply a linear layer, an activation and dropout, with normalization in one of three places.

    pre: norm, linear, activation, dropout. post: linear, norm, activation, dropout.
    after: linear, activation, norm, dropout.

    Shape:
        (n, d_in) -> (n, d_out)

    Args:
        norm: kind of normalization. None: no normalization.
        norm_place: where the normalization is applied.
        dropout: probability that an output is zeroed while training, in [0, 1).
        residual: add the input to the output.
        momentum: weight of the newest batch in batch normalization's running mean and variance,
            in (0, 1].
        eps: added to the variance before the square root.
        parametric: let each unit learn how much of the activation it applies.
        quick: use the faster `QuickDropout`.
        linear: the layer from d_in to d_out. None: `nn.Linear`.

    Raises:
        ValueError: the widths of a residual block differ, or an argument is out of range.

    Example:
        >>> import torch
        >>> block = Block(3, 8, activation="relu", norm="batch", norm_place="post", dropout=0.1)
        >>> block(torch.ones(4, 3)).shape
        torch.Size([4, 8])
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        activation: ActivationName = "relu",
        norm: NormKind | None = None,
        norm_place: NormPlace = "post",
        dropout: float = 0.0,
        residual: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
        parametric: bool = False,
        quick: bool = False,
        linear: nn.Module | None = None,
    ) -> None:
        if residual and d_in != d_out:
            raise ValueError(
                f"A residual block must keep its width; got {d_in=}, {d_out=}. "
                "Project to d_out before it, or set residual=False."
            )
        check_choice("norm_place", norm_place, get_args(NormPlace))
        check_probability(dropout, name="dropout")
        super().__init__()
        if linear is None:
            linear = nn.Linear(d_in, d_out, bias=needs_bias(norm, norm_place))
        act = ParametricActivation(activation, d_out) if parametric else make_activation(activation)
        steps: list[tuple[str, nn.Module]] = [("linear", linear), ("activation", act)]
        d_norm = d_in if norm_place == "pre" else d_out
        if norm is not None:
            place = {"pre": 0, "post": 1, "after": 2}[norm_place]
            steps.insert(place, ("norm", make_norm(norm, d_norm, momentum=momentum, eps=eps)))
        if dropout > 0.0:
            steps.append(("dropout", QuickDropout(dropout) if quick else nn.Dropout(dropout)))
        self.steps = nn.Sequential(OrderedDict(steps))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.steps(x)
        return x + out if self.residual else out

    def extra_repr(self) -> str:
        return f"residual={self.residual}"
