"""Several networks in one module: members that share most of their weights."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from afina.declaration import resolved
from afina.models.mlp import make_block
from afina.models.settings import ModelSettings
from afina.nn import (
    MemberHeads,
    MemberLinear,
    MemberScale,
    QuickDropout,
    mean_of_members,
    needs_bias,
)


class Members(nn.Module):
    """Pass rows through the layers that all members share, then through each member.

    While training, each member has its own outputs, so that the loss can be the mean of the
    members' losses instead of the loss of their mean. In evaluation, the output is the prediction
    of all members together.

    Shape:
        (n, d_in) -> (n, k, d_out) while training, (n, d_out) in evaluation

    Args:
        before: maps the input to the point where members diverge, rows (n, d).
        part: turns these rows into separate rows for each member.
        after: maps the members' rows (n * k, d) to the inputs of their heads.
        heads: one output layer for each member.
        probabilities: whether outputs are class scores, whose probabilities are averaged;
            otherwise, the values are averaged.

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
        """Number of members."""
        return len(self.part.scale)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.heads(self.after(self.part(self.before(x))))
        if self.training:
            return outputs
        return mean_of_members(outputs, probabilities=self.probabilities)

    def extra_repr(self) -> str:
        return f"probabilities={self.probabilities}"


def make_members(
    d_in: int, d_out: int, settings: ModelSettings, *, chunks: Sequence[int] | None = None
) -> Members:
    """Build members that are multilayer perceptrons and share weights.

    Args:
        d_in: width of the input.
        d_out: number of outputs for each row; with more than one, the members' probabilities are
            averaged.
        settings: the number of members, where they separate, and their blocks. Without blocks,
            `linear` and `block` mean `input`.
        chunks: the feature of the table to which each input belongs. None: each input is a feature.

    Raises:
        ValueError: the members share no weights.

    Example:
        >>> import torch
        >>> settings = ModelSettings(members=8, members_differ="input", dropout=0.0,
        ...                          member_start="signs")
        >>> make_members(4, 3, settings)(torch.ones(5, 4)).shape
        torch.Size([5, 8, 3])
    """
    differ, start = settings.members_differ, settings.member_start
    if differ == "weights" or start == "auto":
        raise ValueError(
            f"Members must share weights and have a resolved start; got {differ=}, {start=}."
        )
    n_members, d_block = settings.members, settings.d_block
    shared, own = _steps(d_in, settings)
    part = MemberScale(
        d_block if shared else d_in,
        n_members,
        start=start,
        chunks=None if shared else chunks,
        bias=differ == "linear" and bool(shared),
    )
    heads = MemberHeads(d_block if settings.n_blocks else d_in, d_out, n_members)
    return Members(_in_sequence(shared), part, _in_sequence(own), heads, probabilities=d_out > 1)


def _steps(d_in: int, settings: ModelSettings) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the layers before the point where members diverge, and the layers after it."""
    differ, d_block, n_blocks = settings.members_differ, settings.d_block, settings.n_blocks
    dropout = resolved(settings.dropout)
    projects = settings.residual and n_blocks > 0
    bias = needs_bias(settings.norm, settings.norm_place)
    first: list[nn.Module] = [nn.Linear(d_in, d_block)] if projects else []
    widths = [d_block if projects else d_in] + [d_block] * n_blocks
    block = partial(make_block, settings=settings, quick=True)

    def linear(i: int) -> MemberLinear | None:
        if differ != "layers":
            return None
        return MemberLinear(
            widths[i],
            d_block,
            settings.members,
            bias=bias,
            scales_input=i > 0 or projects,  # otherwise `part` has just scaled the input
        )

    def blocks(start: int) -> list[nn.Module]:
        return [
            block(widths[i], d_block, dropout=dropout, linear=linear(i))
            for i in range(start, n_blocks)
        ]

    if differ == "linear" and projects:
        return first, blocks(0)
    if differ == "linear" and n_blocks:  # within the first block, after its linear layer
        rest = block(d_block, d_block, dropout=dropout, linear=nn.Identity())
        return [nn.Linear(d_in, d_block, bias=bias)], [rest, *blocks(1)]
    if differ == "block" and n_blocks:  # dropout comes after `part`, so each member draws its own
        return [*first, block(widths[0], d_block)], [QuickDropout(dropout), *blocks(1)]
    return [], [*first, *blocks(0)]


def _in_sequence(steps: list[nn.Module]) -> nn.Module:
    return nn.Sequential(*steps) if steps else nn.Identity()
