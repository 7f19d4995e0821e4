"""Members: several networks in one module, which share most of their weights.

In the layers of members, rows are (n * k, d): the first row once for each of the k members, then
the second row, and so on, so that every row-wise layer serves all members. This file has the layers
that differ between members.
"""

import math
from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from afina.nn.arguments import check_choice, check_sizes
from afina.nn.choices import MemberStart
from afina.process_state import Drawing


def mean_of_members(outputs: Tensor, *, probabilities: bool) -> Tensor:
    """Return the prediction of all members together: the mean of their probabilities or values.

    Shape:
        (n, k, d_out) -> (n, d_out)

    Args:
        probabilities: whether the outputs are logits. If so, the result is the logarithm of the
            mean probability, which is also a logit.

    Example:
        >>> scores = torch.tensor([[[0.0, 0.0], [50.0, 0.0]]])
        >>> mean_of_members(scores, probabilities=True).exp().tolist()
        [[0.75, 0.25]]
    """
    if not probabilities:
        return outputs.mean(dim=1)
    return outputs.log_softmax(dim=2).logsumexp(dim=1) - math.log(outputs.shape[1])


class MemberScale(nn.Module):
    """Multiply the features by different factors for each member.

    Shape:
        (n, d) -> (n * k, d)

    Args:
        d: number of features.
        k: members, at least 1.
        start: factors start as N(0, 1), or as random 1 and -1.
        chunks: index of the chunk to which each feature belongs. Features of one chunk, such as
            the outputs of one column's embedding, start with the same factor. None: each feature is
            a chunk.
        bias: also add a trained term for each member and feature, which starts at 0.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> MemberScale(3, 4)(torch.ones(5, 3)).shape
        torch.Size([20, 3])

    Source: Gorishniy et al. 2024, arXiv:2410.24210 (TabM-mini).
    """

    def __init__(
        self,
        d: int,
        k: int,
        *,
        start: MemberStart = "signs",
        chunks: Sequence[int] | None = None,
        bias: bool = False,
    ) -> None:
        check_sizes(d=d, k=k)
        check_choice("start", start, get_args(MemberStart))
        if chunks is not None and len(chunks) != d:
            raise ValueError(
                f"chunks must have one number for each of the {d} features; got {len(chunks)} numbers."
            )
        super().__init__()
        self.start = start
        self.chunks = list(range(d)) if chunks is None else list(chunks)
        self.scale = nn.Parameter(torch.empty(k, d))
        self.bias = nn.Parameter(torch.empty(k, d)) if bias else None
        self.reset_parameters()

    @Drawing()
    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Redraw the factors, and set the added terms to 0."""
        if self.bias is not None:
            self.bias.zero_()
        drawn = self.scale.new_empty(len(self.scale), max(self.chunks) + 1)
        drawn.normal_(generator=generator)
        if self.start == "signs":
            drawn = torch.where(drawn >= 0, 1.0, -1.0)
        self.scale.copy_(drawn[:, self.chunks])

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is not None:
            return torch.addcmul(self.bias, x.unsqueeze(1), self.scale).flatten(0, 1)
        return (x.unsqueeze(1) * self.scale).flatten(0, 1)

    def extra_repr(self) -> str:
        k, d = self.scale.shape
        return f"{d=}, {k=}, start={self.start!r}"


class MemberLinear(nn.Module):
    """Apply a linear layer that differs by member: `((x * r) W^T) * s + b`, with W shared.

    All members start identical: r and s are 1, and the biases are equal.

    Shape:
        (n * k, d_in) -> (n * k, d_out)

    Args:
        k: members, at least 1.
        bias: whether there is a bias.
        scales_input: whether to scale the input by r; a layer right after `MemberScale` does not
            need it.

    Example:
        >>> MemberLinear(3, 2, 4)(torch.ones(8, 3)).shape
        torch.Size([8, 2])

    Source: Wen, Tran & Ba 2020, arXiv:2002.06715 (BatchEnsemble); the initial values are those of
        Gorishniy et al. 2024, arXiv:2410.24210 (TabM).
    """

    def __init__(
        self, d_in: int, d_out: int, k: int, *, bias: bool = True, scales_input: bool = True
    ) -> None:
        super().__init__()
        self.k = k
        self.shared = nn.Linear(d_in, d_out, bias=False)
        self.scale_in = nn.Parameter(torch.empty(k, d_in)) if scales_input else None
        self.scale_out = nn.Parameter(torch.empty(k, d_out))
        self.bias = nn.Parameter(torch.empty(k, d_out)) if bias else None
        self.reset_parameters()

    @Drawing()
    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Set the scales to 1 and draw the bias; `initialize_` draws W."""
        self.scale_out.fill_(1.0)
        if self.scale_in is not None:
            self.scale_in.fill_(1.0)
        if self.bias is not None:
            bound = self.shared.in_features**-0.5
            start = self.bias.new_empty(self.bias.shape[1]).uniform_(
                -bound, bound, generator=generator
            )
            self.bias.copy_(start.expand_as(self.bias))

    def forward(self, x: Tensor) -> Tensor:
        if self.scale_in is not None:
            x = (x.view(-1, self.k, x.shape[1]) * self.scale_in).flatten(0, 1)
        out: Tensor = self.shared(x).view(-1, self.k, self.shared.out_features)
        if self.bias is None:
            return (out * self.scale_out).flatten(0, 1)
        return torch.addcmul(self.bias, out, self.scale_out).flatten(0, 1)

    def extra_repr(self) -> str:
        return f"k={self.k}"


class MemberHeads(nn.Module):
    """Apply a separate output layer for each member.

    Shape:
        (n * k, d_in) -> (n, k, d_out)

    Args:
        k: members, at least 1.

    Example:
        >>> MemberHeads(3, 2, 4)(torch.ones(8, 3)).shape
        torch.Size([2, 4, 2])
    """

    def __init__(self, d_in: int, d_out: int, k: int) -> None:
        check_sizes(d_in=d_in, d_out=d_out, k=k)
        super().__init__()
        self.weight = nn.Parameter(torch.empty(k, d_out, d_in))
        self.bias = nn.Parameter(torch.empty(k, d_out))
        self.reset_parameters()

    @Drawing()
    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights and biases like torch's linear layer."""
        bound = self.weight.shape[2] ** -0.5
        self.weight.uniform_(-bound, bound, generator=generator)
        self.bias.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        k, d_out, d_in = self.weight.shape
        rows = x.view(-1, k, d_in)
        if d_out == 1:  # a product and a sum take a quarter of the time of k thin matrix products
            return (rows * self.weight[:, 0]).sum(dim=2, keepdim=True) + self.bias
        own = rows.transpose(0, 1).contiguous()  # (k, n, d_in); the copy pays off
        weight = self.weight.transpose(1, 2)
        return torch.baddbmm(self.bias.unsqueeze(1), own, weight).transpose(0, 1)

    def extra_repr(self) -> str:
        k, d_out, d_in = self.weight.shape
        return f"{d_in=}, {d_out=}, {k=}"
