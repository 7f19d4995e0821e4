"""Several networks in one: members that share most of what they learn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, get_args

from torch import Tensor, nn

from afina.nn import (
    ActivationName,
    Block,
    MemberHeads,
    MemberLinear,
    MemberScale,
    MemberStart,
    NormKind,
    NormPlace,
    QuickDropout,
    mean_of_members,
    needs_bias,
)

MembersDiffer: TypeAlias = Literal["input", "linear", "block", "layers", "weights"]


@dataclass(frozen=True, kw_only=True)
class MemberPlan:
    """How many members there are, and where they differ.

    Args:
        n_members: at least 1.
        differ: `input`: each member scales the input, the blocks are shared; `linear`: the first
            linear layer is shared, on rows that are not yet so many times as many, and each member
            scales and shifts what comes out, before the activation; `block`: each scales what
            comes out of the first block; `layers`: as `input`, and in each layer scales and biases
            differ; `weights`: in all weights behind the input layer, see `Ensemble`. With no blocks
            `linear` and `block` are `input`.
        start: of the scales at which members part.
        probabilities: average probabilities, not values.
        n_folds: with `weights`, of how many folds each member leaves one out; 1: of none.
        linear_skip: with `weights`, whether each has a linear model beside its blocks.
    """

    n_members: int
    differ: MembersDiffer = "input"
    start: MemberStart = "signs"
    probabilities: bool = False
    n_folds: int = 1
    linear_skip: bool = False

    def __post_init__(self) -> None:
        if self.n_members < 1:
            raise ValueError(f"n_members must be at least 1, however: {self.n_members}.")
        if self.differ not in get_args(MembersDiffer):
            names = ", ".join(get_args(MembersDiffer))
            raise ValueError(f"differ must be one of {names}, however: {self.differ!r}.")
        if self.n_folds > 1 and self.differ != "weights":
            raise ValueError(f"Folds need members of their own weights, however: {self.differ=}.")


class Members(nn.Module):
    """Take rows through what all members share, part, and give each member's outputs.

    While training the outputs of all members are there, so that the loss can be the mean of their
    losses, never the loss of their mean. In evaluation there is the answer of all together.

    Shape:
        (n, d_in) -> (n, k, d_out) while training, (n, d_out) in evaluation

    Args:
        before: from the input to where members part, rows (n, d).
        part: gives each member its rows.
        after: from there to the outputs, rows (n * k, d).
        heads: an output layer a member.
        probabilities: outputs are class scores, and members' probabilities are averaged; else
            their values are.

    Example:
        >>> import torch
        >>> part, heads = MemberScale(3, 4), MemberHeads(3, 1, 4)
        >>> net = Members(nn.Identity(), part, nn.Identity(), heads, probabilities=False)
        >>> net(torch.ones(5, 3)).shape, net.eval()(torch.ones(5, 3)).shape
        (torch.Size([5, 4, 1]), torch.Size([5, 1]))

    Source: Gorishniy et al. 2024, arXiv:2410.24210 (TabM).
    """

    def __init__(
        self,
        before: nn.Module,
        part: MemberScale,
        after: nn.Module,
        heads: MemberHeads,
        *,
        probabilities: bool,
    ) -> None:
        super().__init__()
        self.before = before
        self.part = part
        self.after = after
        self.heads = heads
        self.probabilities = probabilities

    @property
    def n_members(self) -> int:
        """How many networks it is."""
        return len(self.part.scale)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.heads(self.after(self.part(self.before(x))))
        if self.training:
            return outputs
        return mean_of_members(outputs, probabilities=self.probabilities)

    def extra_repr(self) -> str:
        return f"probabilities={self.probabilities}"


def make_members(
    d_in: int,
    d_out: int,
    *,
    plan: MemberPlan,
    chunks: Sequence[int] | None = None,
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
) -> Members:
    """Build members that are multilayer perceptrons; the other arguments are those of `MLP`.

    Args:
        plan: how many members there are, and where they differ.
        chunks: which feature of the table each of the inputs belongs to; None: all are their own.

    Raises:
        ValueError: an unknown name, or a number that cannot be.

    Example:
        >>> import torch
        >>> make_members(4, 3, plan=MemberPlan(n_members=8), d_block=16)(torch.ones(5, 4)).shape
        torch.Size([5, 8, 3])
    """
    block = partial(
        Block,
        activation=activation,
        norm=norm,
        norm_place=norm_place,
        residual=residual,
        momentum=norm_momentum,
        eps=norm_eps,
        parametric=parametric,
        quick=True,
    )
    shared, own = _steps(
        d_in,
        d_block,
        plan=plan,
        n_blocks=n_blocks,
        dropout=dropout,
        projects=residual and n_blocks > 0,
        bias=needs_bias(norm, norm_place),
        block=block,
    )
    part = MemberScale(
        d_block if shared else d_in,
        plan.n_members,
        start=plan.start,
        chunks=None if shared else chunks,
        bias=plan.differ == "linear" and bool(shared),
    )
    heads = MemberHeads(d_block if n_blocks else d_in, d_out, plan.n_members)
    before, after = _in_sequence(shared), _in_sequence(own)
    return Members(before, part, after, heads, probabilities=plan.probabilities)


def _steps(
    d_in: int,
    d_block: int,
    *,
    plan: MemberPlan,
    n_blocks: int,
    dropout: float,
    projects: bool,
    bias: bool,
    block: Callable[..., Block],
) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return what comes before the parting, and what comes behind it."""
    first: list[nn.Module] = [nn.Linear(d_in, d_block)] if projects else []
    widths = [d_block if projects else d_in] + [d_block] * n_blocks

    def linear(i: int) -> MemberLinear | None:
        if plan.differ != "layers":
            return None
        scales_input = i > 0 or projects  # else the parting has just done so
        return MemberLinear(
            widths[i], d_block, plan.n_members, bias=bias, scales_input=scales_input
        )

    def blocks(start: int) -> list[nn.Module]:
        return [
            block(widths[i], d_block, dropout=dropout, linear=linear(i))
            for i in range(start, n_blocks)
        ]

    if plan.differ == "linear" and projects:
        return first, blocks(0)
    if plan.differ == "linear" and n_blocks:  # the first block's linear layer, and the rest of it
        rest = block(d_block, d_block, dropout=dropout, linear=nn.Identity())
        return [nn.Linear(d_in, d_block, bias=bias)], [rest, *blocks(1)]
    if plan.differ == "block" and n_blocks:  # dropout behind the parting: members drop their own
        return [*first, block(widths[0], d_block)], [QuickDropout(dropout), *blocks(1)]
    return [], [*first, *blocks(0)]


def _in_sequence(steps: list[nn.Module]) -> nn.Module:
    return nn.Sequential(*steps) if steps else nn.Identity()
