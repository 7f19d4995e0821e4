"""Piecewise-linear embeddings of numbers: each column becomes a curve of several outputs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_MOST_MULTIPLIED = 48  # bins; with more, looking up is as fast or faster on a CPU


def piecewise_linear(
    x: Tensor,
    left: Tensor,
    slope: Tensor,
    weight: Tensor,
    linear_weight: Tensor,
    linear_bias: Tensor,
) -> Tensor:
    """Embed each column by `w0 * x + b0 + PLE(x) @ W`.

    PLE(x) has, for each bin, the share of it that lies below x: clamp((x - left) * slope, 0, 1).

    Shape:
        x (n, n_columns); left, slope (n_columns, n_bins); weight (n_columns, n_bins, d);
        linear_weight, linear_bias (n_columns, d) -> (n, n_columns * d)

    Args:
        left: left edge of each bin.
        slope: one over its width; 0 for a bin that a column does not have.

    Example:
        >>> x, left, slope = torch.tensor([[0.5]]), torch.tensor([[0.0, 1.0]]), torch.ones(1, 2)
        >>> curve, line = torch.tensor([[[2.0], [9.0]]]), torch.tensor([[1.0]])
        >>> piecewise_linear(x, left, slope, curve, line, line).tolist()
        [[2.5]]
    """
    columns = x.t().contiguous()  # (f, n): then all work is a column's
    line = torch.addcmul(linear_bias.unsqueeze(1), columns.unsqueeze(2), linear_weight.unsqueeze(1))
    add_curve = _add_products if left.shape[1] <= _MOST_MULTIPLIED else _add_looked_up
    return add_curve(line, columns, left, slope, weight).transpose(0, 1).flatten(1)


def _add_products(
    line: Tensor, columns: Tensor, left: Tensor, slope: Tensor, weight: Tensor
) -> Tensor:
    """Add each column's PLE(x) @ W as it is written: work in proportion to the bins."""
    shares = ((columns.unsqueeze(2) - left.unsqueeze(1)) * slope.unsqueeze(1)).clamp(0.0, 1.0)
    return torch.baddbmm(line, shares, weight)


def _add_looked_up(
    line: Tensor, columns: Tensor, left: Tensor, slope: Tensor, weight: Tensor
) -> Tensor:
    """Add the same, looked up: all bins below x's add up in one sum for each bin, x's own its share.

    The work hardly grows with the bins, and for many takes a fraction of the products' time.
    """
    n_columns, n_bins, d = weight.shape
    place = torch.searchsorted(left, columns, right=True).sub_(1).clamp_(min=0)
    share = ((columns - left.gather(1, place)) * slope.gather(1, place)).clamp(0.0, 1.0)
    weight = weight * (slope != 0).unsqueeze(2)  # bins that a column does not have
    below = weight.cumsum(1) - weight
    first = torch.arange(n_columns, device=place.device).unsqueeze(1) * n_bins
    # Not index_select: its gradient on CUDA adds in no fixed order.
    found = functional.embedding(place + first, torch.cat([below, weight], 2).flatten(0, 1))
    return line + torch.addcmul(found[..., :d], share.unsqueeze(2), found[..., d:])


class PiecewiseLinear(nn.Module):
    """Return each number a trained curve: linear between edges that training rows have set.

    It starts as a line (W = 0), so that a curve is learned only where it helps. A column with
    fewer bins than the widest has empty ones behind.

    Shape:
        (n, n_columns) -> (n, n_columns * d_embedding)

    Args:
        n_bins: bins of each column, at least 1.
        d_embedding: outputs a column, at least 1.

    Raises:
        ValueError: no column, or a number that cannot be.

    Example:
        >>> layer = PiecewiseLinear([2, 1], 4)
        >>> layer.set_edges_([torch.tensor([0.0, 0.5, 1.0]), torch.tensor([-1.0, 1.0])])
        >>> layer(torch.zeros(5, 2)).shape
        torch.Size([5, 8])

    Source: Gorishniy et al. 2022, arXiv:2203.05556 (the encoding); 2024, arXiv:2410.24210,
        version B of the embedding.

    Differs: the first and the last bin end at their edges, so that beyond the training rows
        only the line goes on.
    """

    left: Tensor
    slope: Tensor

    def __init__(self, n_bins: Sequence[int], d_embedding: int) -> None:
        if not n_bins or min(n_bins) < 1 or d_embedding < 1:
            raise ValueError(
                "There must be a column, a bin in each, and an output, however: "
                f"n_bins={list(n_bins)}, {d_embedding=}."
            )
        super().__init__()
        self.n_bins = tuple(n_bins)
        shape = (len(n_bins), max(n_bins))
        self.register_buffer("left", torch.zeros(shape))
        self.register_buffer("slope", torch.zeros(shape))
        self.weight = nn.Parameter(torch.empty(*shape, d_embedding))
        self.linear_weight = nn.Parameter(torch.empty(len(n_bins), d_embedding))
        self.linear_bias = nn.Parameter(torch.empty(len(n_bins), d_embedding))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the lines anew and flatten the curves; the edges stay."""
        bound = self.linear_weight.shape[1] ** -0.5
        self.weight.zero_()
        self.linear_weight.uniform_(-bound, bound, generator=generator)
        self.linear_bias.uniform_(-bound, bound, generator=generator)

    @torch.no_grad()
    def set_edges_(self, edges: Sequence[Tensor]) -> None:
        """Set the edges of each column's bins, ascending: one more than it has bins."""
        if [len(column) - 1 for column in edges] != list(self.n_bins):
            raise ValueError(
                f"edges must be one more than the bins of each column, however: n_bins="
                f"{list(self.n_bins)}, edges: {[len(column) for column in edges]}."
            )
        for i, column in enumerate(edges):
            inner = column.to(self.left.dtype)
            width = inner[1:] - inner[:-1]
            if not bool((width > 0).all()):
                raise ValueError(f"edges must ascend, however: those of column {i} do not.")
            n = len(width)
            self.left[i, :n], self.left[i, n:] = inner[:-1], inner[-1]
            self.slope[i, :n] = (1.0 / width).clamp(max=torch.finfo(width.dtype).max)
            self.slope[i, n:] = 0.0

    def forward(self, x: Tensor) -> Tensor:
        return piecewise_linear(
            x, self.left, self.slope, self.weight, self.linear_weight, self.linear_bias
        )

    def extra_repr(self) -> str:
        n_columns, n_bins, d_embedding = self.weight.shape
        return f"{n_columns=}, {n_bins=}, {d_embedding=}"
