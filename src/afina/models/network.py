"""The network for tables: an input layer and a body, built and initialized from plain arguments."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from afina.models.ensemble import Ensemble
from afina.models.input import CatEncoding, InputLayer
from afina.models.members import MemberPlan, make_members
from afina.models.mlp import MLP
from afina.models.numbers import EmbeddedNumbers
from afina.nn import (
    ActivationName,
    InitName,
    NormKind,
    NormPlace,
    initialize_,
)

_N_SAMPLE_ROWS = 256


class TabularNet(nn.Module):
    """Take numbers and category codes to outputs.

    Shape:
        x_num (n, n_num) float, x_cat (n, n_cat) int64, folds (n,) int64 or None -> (n, d_out);
        bodies of several members give more while training

    Args:
        input: takes numbers and codes to one row of floats.
        body: takes that row to the outputs; folds are for an `Ensemble`.

    Example:
        >>> net = TabularNet(InputLayer(2), MLP(2, 1, n_blocks=1, d_block=8))
        >>> net(torch.zeros(5, 2), torch.zeros(5, 0, dtype=torch.int64)).shape
        torch.Size([5, 1])
    """

    def __init__(self, input: nn.Module, body: nn.Module) -> None:  # noqa: A002 - the seam's name
        super().__init__()
        self.input = input
        self.body = body

    def set_edges_(self, edges: Sequence[Tensor]) -> None:
        """Set the edges of the numbers' bins; see `PiecewiseLinear`."""
        if not isinstance(self.input, InputLayer) or self.input.numbers is None:
            raise TypeError("Edges are for embedded numbers, however: there are none.")
        self.input.numbers.set_edges_(edges)

    def forward(self, x_num: Tensor, x_cat: Tensor, folds: Tensor | None = None) -> Tensor:
        row = self.input(x_num, x_cat)
        out: Tensor = self.body(row) if folds is None else self.body(row, folds)
        return out


def make_network(
    *,
    n_num: int,
    cat_encodings: Sequence[CatEncoding] = (),
    d_out: int,
    embedding_dim: int | Literal["auto"] = 8,
    unknown_rate: float = 0.0,
    normalize: bool = False,
    embedded: EmbeddedNumbers | None = None,
    scales: bool = False,
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
    members: MemberPlan | None = None,
    init: InitName = "auto",
    init_constant: float = 0.01,
    generator: torch.Generator,
) -> TabularNet:
    """Build a `TabularNet` of an `InputLayer` and an `MLP` or `Members`, and initialize it.

    Every weight is a function of the arguments and the generator; torch's global random state is
    as it was before. The arguments are those of `InputLayer`, `MLP`, `make_members` and
    `initialize_`.

    Args:
        n_num: numeric columns as the input layer gets them, indicators included.
        d_out: outputs a row: classes, or 1 for regression.
        members: several networks in one; None: one `MLP`.
        init: how weights are initialized; `auto` also evens out what one-hot columns, which are
            mostly 0, bring to the first layer.
        generator: source of the weights, on the CPU.

    Example:
        >>> net = make_network(n_num=3, d_out=1, generator=torch.Generator().manual_seed(0))
        >>> sum(p.numel() for p in net.parameters())
        132865
    """
    own = members is not None and members.differ == "weights"
    with torch.random.fork_rng(devices=[]):  # torch's layers draw on construction
        head = InputLayer(
            n_num,
            cat_encodings,
            embedding_dim=embedding_dim,
            unknown_rate=unknown_rate,
            normalize=normalize,
            embedded=embedded,
            scales=scales,
            members=members.n_members if members is not None and own else 1,
        )
        make_body: Callable[..., nn.Module] = MLP
        if members is not None and own:
            make_body = partial(_make_ensemble, plan=members, d_own=head.d_own)
        elif members is not None:
            make_body = partial(make_members, plan=members, chunks=head.chunks)
        body = make_body(
            head.d_out,
            d_out,
            n_blocks=n_blocks,
            d_block=d_block,
            activation=activation,
            norm=norm,
            norm_place=norm_place,
            norm_momentum=norm_momentum,
            norm_eps=norm_eps,
            dropout=dropout,
            residual=residual,
            parametric=parametric,
        )
    net = TabularNet(head, body)
    sample = _sample_rows(n_num, cat_encodings, generator)
    initialize_(net, init, constant=init_constant, generator=generator, sample=sample)
    return net


def _make_ensemble(
    d_in: int,
    d_out: int,
    *,
    plan: MemberPlan,
    d_own: int,
    n_blocks: int,
    d_block: int,
    activation: ActivationName,
    dropout: float,
    norm: NormKind,
    residual: bool,
    parametric: bool,
    **_unused: object,
) -> Ensemble:
    if norm != "none" or residual or parametric:
        raise ValueError(
            "Members of their own weights have plain blocks, however: "
            f"{norm=}, {residual=}, {parametric=}."
        )
    return Ensemble(
        d_in,
        d_out,
        widths=[d_block] * n_blocks,
        k=plan.n_members,
        d_own=d_own,
        n_folds=plan.n_folds,
        activation=activation,
        dropout=dropout,
        linear_skip=plan.linear_skip,
        probabilities=plan.probabilities,
    )


def _sample_rows(
    n_num: int, cat_encodings: Sequence[CatEncoding], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Make rows as a scaled table has them: unit-normal numbers, and levels by equal chance."""
    x_num = torch.empty(_N_SAMPLE_ROWS, n_num).normal_(generator=generator)
    chance = torch.rand(_N_SAMPLE_ROWS, len(cat_encodings), generator=generator)
    n_levels = torch.tensor([n for _, n, _ in cat_encodings], dtype=torch.int64)
    return x_num, 2 + (chance * n_levels).long()
