"""The multilayer perceptron: blocks one behind the other, and a linear output."""

from torch import Tensor, nn

from afina.nn import ActivationName, Block, NormKind, NormPlace


class MLP(nn.Module):
    """Take rows of numbers to outputs through hidden blocks of one width.

    The residual form starts with a linear projection to the blocks' width. No blocks is a linear
    model.

    Shape:
        (n, d_in) -> (n, d_out)

    Args:
        d_in: width of the input, at least 1.
        d_out: outputs a row: classes, or 1 for regression.
        n_blocks: hidden blocks, at least 0.
        d_block: units of each hidden block.
        activation: of the hidden blocks.
        norm: kind of normalization in each block.
        norm_place: `pre`, `post` or `after`, see `Block`.
        norm_momentum: share of the newest batch in batch normalization's running pair.
        norm_eps: added to the variance before the square root.
        dropout: chance that a hidden unit is zeroed while training, in [0, 1).
        residual: add each block's input to its output.
        parametric: let each hidden unit learn how much of the activation it takes.

    Raises:
        ValueError: a width or count that cannot be.

    Example:
        >>> import torch
        >>> MLP(4, 3, n_blocks=2, d_block=16, norm="layer")(torch.ones(5, 4)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        n_blocks: int = 3,
        d_block: int = 256,
        activation: ActivationName = "relu",
        norm: NormKind = "none",
        norm_place: NormPlace = "post",
        norm_momentum: float = 0.1,
        norm_eps: float = 1e-5,
        dropout: float = 0.0,
        residual: bool = False,
        parametric: bool = False,
    ) -> None:
        if min(d_in, d_out, d_block) < 1:
            raise ValueError(f"Widths must be at least 1, however: {d_in=}, {d_out=}, {d_block=}.")
        if n_blocks < 0:
            raise ValueError(f"n_blocks must be at least 0, however: {n_blocks=}.")
        super().__init__()
        projects = residual and n_blocks > 0
        self.first = nn.Linear(d_in, d_block) if projects else nn.Identity()
        widths = [d_block if projects else d_in] + [d_block] * n_blocks
        self.blocks = nn.Sequential(
            *(
                Block(
                    widths[i],
                    widths[i + 1],
                    activation=activation,
                    norm=norm,
                    norm_place=norm_place,
                    dropout=dropout,
                    residual=residual,
                    momentum=norm_momentum,
                    eps=norm_eps,
                    parametric=parametric,
                )
                for i in range(n_blocks)
            )
        )
        self.output = nn.Linear(widths[-1], d_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output(self.blocks(self.first(x)))
        return out
