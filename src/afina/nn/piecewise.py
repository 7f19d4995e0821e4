"""Piecewise-linear embeddings of numbers: each column becomes a curve with several outputs."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from afina.process_state import Drawing

_MOST_MULTIPLIED = 48  # bins; with more, a lookup is at least as fast on a CPU


def piecewise_linear(
    x: Tensor,
    left: Tensor,
    slope: Tensor,
    weight: Tensor,
    linear_weight: Tensor,
    linear_bias: Tensor,
) -> Tensor:
    """Embed each column as `w0 * x + b0 + PLE(x) @ W`.

    PLE(x) is the share of each bin that lies below x: clamp((x - left) * slope, 0, 1).

    Shape:
        x (n, n_columns); left, slope (n_columns, n_bins); weight (n_columns, n_bins, d);
        linear_weight, linear_bias (n_columns, d) -> (n, n_columns * d)

    Args:
        left: left edge of each bin.
        slope: one over the width of each bin; 0 for a bin that a column does not have.

    Example:
        >>> x, left, slope = torch.tensor([[0.5]]), torch.tensor([[0.0, 1.0]]), torch.ones(1, 2)
        >>> curve, line = torch.tensor([[[2.0], [9.0]]]), torch.tensor([[1.0]])
        >>> piecewise_linear(x, left, slope, curve, line, line).tolist()
        [[2.5]]
    """
    columns = x.t().contiguous()  # (f, n), so that each column is contiguous
    line = torch.addcmul(linear_bias.unsqueeze(1), columns.unsqueeze(2), linear_weight.unsqueeze(1))
    add_curve = _add_products if left.shape[1] <= _MOST_MULTIPLIED else _add_looked_up
    return add_curve(line, columns, left, slope, weight).transpose(0, 1).flatten(1)


def _add_products(
    line: Tensor, columns: Tensor, left: Tensor, slope: Tensor, weight: Tensor
) -> Tensor:
    """Add PLE(x) @ W for each column as a product; the work grows with the number of bins."""
    shares = ((columns.unsqueeze(2) - left.unsqueeze(1)) * slope.unsqueeze(1)).clamp(0.0, 1.0)
    return torch.baddbmm(line, shares, weight)


def _add_looked_up(
    line: Tensor, columns: Tensor, left: Tensor, slope: Tensor, weight: Tensor
) -> Tensor:
    """Add PLE(x) @ W by a lookup: the sum of all bins below x's bin, plus the share of that bin.

    The work hardly grows with the number of bins; with many bins, it takes a fraction of the
    product's time.
    """
    n_columns, n_bins, d = weight.shape
    place = torch.searchsorted(left, columns, right=True).sub_(1).clamp_(min=0)
    share = ((columns - left.gather(1, place)) * slope.gather(1, place)).clamp(0.0, 1.0)
    weight = weight * (slope != 0).unsqueeze(2)  # bins that a column does not have
    below = weight.cumsum(1) - weight
    first = torch.arange(n_columns, device=place.device).unsqueeze(1) * n_bins
    # Not index_select: on CUDA, its gradient adds in no fixed order.
    sums = functional.embedding(place + first, torch.cat([below, weight], 2).flatten(0, 1))
    return line + torch.addcmul(sums[..., :d], share.unsqueeze(2), sums[..., d:])


class PiecewiseLinear(nn.Module):
    """Embed each number with a trained curve, linear between edges taken from the training rows.

    The curve starts as a line (W = 0), so that it bends only where that helps. Columns with fewer
    bins than others are padded with empty bins.

    Shape:
        (n, n_columns) -> (n, n_columns * d_embedding)

    Args:
        n_bins: bins of each column, at least 1.
        d_embedding: outputs for each column, at least 1.

    Raises:
        ValueError: there is no column, or an argument is out of range.

    Example:
        >>> layer = PiecewiseLinear([2, 1], 4)
        >>> layer.set_edges_([torch.tensor([0.0, 0.5, 1.0]), torch.tensor([-1.0, 1.0])])
        >>> layer(torch.zeros(5, 2)).shape
        torch.Size([5, 8])

    Source: Gorishniy et al. 2022, arXiv:2203.05556 (the encoding); 2024, arXiv:2410.24210,
        version B of the embedding.

    Differs: the first and the last bin end at their outer edges, so that only the line continues
        beyond the training rows.
    """

    left: Tensor
    slope: Tensor

    def __init__(self, n_bins: Sequence[int], d_embedding: int) -> None:
        if not n_bins or min(n_bins) < 1 or d_embedding < 1:
            raise ValueError(
                "n_bins must hold at least one bin for each column, and d_embedding must be at least "
                f"1; got n_bins={list(n_bins)}, {d_embedding=}."
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

    @Drawing()
    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Redraw the lines and flatten the curves; keep the edges."""
        bound = self.linear_weight.shape[1] ** -0.5
        self.weight.zero_()
        self.linear_weight.uniform_(-bound, bound, generator=generator)
        self.linear_bias.uniform_(-bound, bound, generator=generator)

    @torch.no_grad()
    def set_edges_(self, edges: Sequence[Tensor]) -> None:
        """Set the bin edges of each column, ascending: one edge more than the column has bins."""
        if [len(column) - 1 for column in edges] != list(self.n_bins):
            raise ValueError(
                f"each column must have one more edge than bins; got n_bins={list(self.n_bins)} "
                f"and {[len(column) for column in edges]} edges."
            )
        for i, column in enumerate(edges):
            inner = column.to(self.left.dtype)
            width = inner[1:] - inner[:-1]
            if not bool((width > 0).all()):
                raise ValueError(f"edges must ascend, but those of column {i} do not.")
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
