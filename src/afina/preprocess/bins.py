"""Find edges of bins with equal shares of the training rows, for piecewise-linear embeddings."""

from collections.abc import Sequence

import torch
from torch import Tensor

from afina.nn.arguments import check_sizes
from afina.preprocess.sample import Sample, column_samples, quantiles


def column_edges(
    x: Tensor,
    weights: Tensor | None,
    n_bins: int,
    *,
    columns: Sequence[int],
    n_values: int = 0,
) -> dict[int, Tensor]:
    """Return the bin edges of each column that has at least 3 distinct values.

    With two values, a curve would be a line. If there are at most n_bins + 1 distinct values (or at
    most `n_values`), each of them is an edge; otherwise, the edges are quantiles without repeats.

    Shape:
        (n, d), (n,) -> a mapping from column to (n_edges,) float32, ascending, at least 3 edges

    Args:
        x: training rows as the network gets them; NaN is missing.
        weights: weight of each row; a weight of 2 counts the row twice.
        n_bins: largest number of bins for a column with many values, at least 1.
        n_values: with up to this number of distinct values, each is an edge; has no effect below
            n_bins + 1.
        columns: the columns of x to find edges for.

    Example:
        >>> x = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
        >>> column_edges(x, None, 24, columns=[0, 1])
        {0: tensor([0., 1., 2.])}
    """
    check_sizes(n_bins=n_bins)
    samples = zip(columns, column_samples(x[:, list(columns)], weights), strict=True)
    return {
        column: _edges(sample, n_bins, n_values)
        for column, sample in samples
        if len(sample.values) >= 3
    }


def _edges(sample: Sample, n_bins: int, n_values: int) -> Tensor:
    if len(sample.values) <= max(n_bins + 1, n_values):
        edges = sample.values
    else:
        edges = quantiles(sample, torch.arange(n_bins + 1, dtype=torch.float64) / n_bins)
    distinct: Tensor = torch.unique(edges.to(torch.float32))
    return distinct
