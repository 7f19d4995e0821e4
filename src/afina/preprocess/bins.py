"""Edges of bins that hold equal shares of the training rows, for piecewise-linear embeddings."""

from collections.abc import Sequence

import torch
from torch import Tensor

from afina.preprocess.sample import Sample, column_samples, quantiles


def column_edges(
    x: Tensor,
    weights: Tensor | None,
    n_bins: int,
    *,
    columns: Sequence[int],
    n_values: int = 0,
) -> dict[int, Tensor]:
    """Find the edges of each column's bins; a column of fewer than 3 distinct values has none.

    For two values a curve is no more than a line. Where there are at most n_bins + 1 distinct
    values (or `n_values`), each is an edge; else the edges are quantiles, each once.

    Shape:
        (n, d), (n,) -> a mapping from column to (n_edges,) float32, ascending, at least 3 edges

    Args:
        x: training rows as the network gets them; NaN is no value.
        weights: one a row; a weight of 2 is the row twice.
        n_bins: most bins of a column of many values, at least 1.
        n_values: distinct values up to which each is an edge, should that be more.
        columns: those that are asked about.

    Example:
        >>> x = torch.tensor([[0.0, 1.0], [1.0, 2.0], [2.0, 1.0]])
        >>> column_edges(x, None, 24, columns=[0, 1])
        {0: tensor([0., 1., 2.])}
    """
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, however: {n_bins=}.")
    samples = column_samples(x[:, list(columns)], weights)
    found = {}
    for column, sample in zip(columns, samples, strict=True):
        if len(sample.values) >= 3:
            found[column] = _edges(sample, n_bins, n_values)
    return found


def _edges(sample: Sample, n_bins: int, n_values: int) -> Tensor:
    if len(sample.values) <= max(n_bins + 1, n_values):
        edges = sample.values
    else:
        levels = torch.arange(n_bins + 1, dtype=torch.float64) / n_bins
        edges = quantiles(sample, levels)
    found: Tensor = torch.unique(edges.to(torch.float32))
    return found
