"""The multilayer perceptron: a sequence of blocks and a linear output."""

from torch import Tensor, nn

from afina.declaration import resolved
from afina.models.settings import ModelSettings
from afina.nn import Block
from afina.nn.arguments import check_sizes


class MLP(nn.Module):
    """Map rows of numbers to outputs through hidden blocks of equal width.

    The residual form begins with a linear projection to the blocks' width. Without blocks, the
    network is a linear model.

    Shape:
        (n, d_in) -> (n, d_out)

    Args:
        d_in: width of the input, at least 1.
        d_out: number of outputs for each row: the number of classes, or 1 for regression.
        settings: the blocks; `dropout` must be a number.

    Raises:
        ValueError: a width is out of range.

    Example:
        >>> import torch
        >>> settings = ModelSettings(n_blocks=2, d_block=16, norm="layer", dropout=0.0)
        >>> MLP(4, 3, settings)(torch.ones(5, 4)).shape
        torch.Size([5, 3])
    """

    def __init__(self, d_in: int, d_out: int, settings: ModelSettings) -> None:
        check_sizes(d_in=d_in, d_out=d_out)
        super().__init__()
        d_block = settings.d_block
        projects = settings.residual and settings.n_blocks > 0
        self.first = nn.Linear(d_in, d_block) if projects else nn.Identity()
        widths = [d_block if projects else d_in] + [d_block] * settings.n_blocks
        dropout = resolved(settings.dropout)
        self.blocks = nn.Sequential(
            *(make_block(d, d_block, settings, dropout=dropout) for d in widths[:-1])
        )
        self.output = nn.Linear(widths[-1], d_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output(self.blocks(self.first(x)))
        return out


def make_block(
    d_in: int,
    d_out: int,
    settings: ModelSettings,
    *,
    dropout: float = 0.0,
    quick: bool = False,
    linear: nn.Module | None = None,
) -> Block:
    """Build a hidden block; the other arguments are those of `Block`."""
    return Block(
        d_in,
        d_out,
        activation=settings.activation,
        norm=settings.norm,
        norm_place=settings.norm_place,
        dropout=dropout,
        residual=settings.residual,
        momentum=settings.norm_momentum,
        eps=settings.norm_eps,
        parametric=settings.parametric_activation,
        quick=quick,
        linear=linear,
    )
