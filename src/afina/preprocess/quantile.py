"""The quantile scaler: any distribution becomes a normal one."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from afina.preprocess.sample import Sample, column_samples, quantiles
from afina.preprocess.scale import check_width

LEAST_QUANTILES, MOST_QUANTILES = 10, 1000
_ROWS_A_QUANTILE = 30
_EDGE = 1e-7  # the least probability, so that the smallest value becomes -5.2 and not -inf


class QuantileNormal(nn.Module):
    """Map each column to a standard normal distribution by its quantiles.

    From clip(n / 30, 10, 1000) quantiles; between two of them a straight line, beyond the first
    and the last a constant (-5.2 and 5.2). A value that fills several quantiles, as the zeros of
    a column of mostly zeros do, gets the normal quantile of the middle of its share.

    Shape:
        (n, n_features) -> (n, n_features)

    Args:
        n_features: columns; `fit` sets it, a scaler that is to load a state needs it.
        n_quantiles: as n_features.

    Source: Gorishniy et al. 2021, arXiv:2106.11959, for the number of quantiles.

    Differs: from scikit-learn's QuantileTransformer, which sends a tie at an end to the end; no
        noise is added to break ties; and the line between two quantiles is drawn in normal
        scores, not in probabilities, so that only simple operations are left to export.
    """

    knots: Tensor
    scores: Tensor

    def __init__(self, n_features: int = 0, n_quantiles: int = LEAST_QUANTILES) -> None:
        super().__init__()
        empty = torch.zeros(n_quantiles, n_features, dtype=torch.float64)
        self.register_buffer("knots", empty)
        self.register_buffer("scores", empty.clone())

    def fit(self, x: Tensor, weights: Tensor | None = None) -> Self:
        """Learn from training rows; NaN is no value, a weight of 2 is the row twice."""
        return self.fit_samples(column_samples(x, weights))

    def fit_samples(self, samples: Sequence[Sample]) -> Self:
        """Learn from one sample a column."""
        n_rows = samples[0].n_rows if samples else 0.0
        n_quantiles = min(max(int(n_rows) // _ROWS_A_QUANTILE, LEAST_QUANTILES), MOST_QUANTILES)
        levels = torch.arange(n_quantiles, dtype=torch.float64) / (n_quantiles - 1)
        pairs = [_knots(quantiles(sample, levels), levels) for sample in samples]
        empty = torch.zeros(n_quantiles, 0, dtype=torch.float64)
        self.knots = torch.stack([knots for knots, _ in pairs], dim=1) if pairs else empty
        self.scores = torch.stack([scores for _, scores in pairs], dim=1) if pairs else empty
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Look up the normal score of each value."""
        check_width(x, self.knots.shape[1])
        x = x.to(torch.float64)
        inside = torch.maximum(torch.minimum(x, self.knots[-1]), self.knots[0])
        below = last_knot_below(inside, self.knots)
        above = (below + 1).clamp(max=len(self.knots) - 1)
        low, high = self.knots.gather(0, below), self.knots.gather(0, above)
        width = high / 2 - low / 2  # halves: the difference itself may overflow
        share = torch.where(width > 0, (inside / 2 - low / 2) / width, 0.0)
        start, end = self.scores.gather(0, below), self.scores.gather(0, above)
        score = start + share * (end - start)
        return torch.where(x.isnan(), x, score).to(torch.float32)


def _knots(values: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Keep each value once, with the normal score of its middle level; repeat the last to fill."""
    knots, counts = torch.unique_consecutive(values, return_counts=True)
    last = counts.cumsum(0) - 1
    middle = (levels[last] + levels[last - counts + 1]) / 2
    scores = torch.special.ndtri(middle.clamp(_EDGE, 1 - _EDGE))
    fill = len(values) - len(knots)
    return (
        torch.cat([knots, knots[-1:].expand(fill)]),
        torch.cat([scores, scores[-1:].expand(fill)]),
    )


def last_knot_below(x: Tensor, knots: Tensor) -> Tensor:
    """Find the last knot not above each value: a binary search of gathers and comparisons.

    Shape:
        (n, d), (n_knots, d) -> (n, d)
    """
    place = torch.zeros_like(x, dtype=torch.int64)
    step = 1 << (len(knots) - 1).bit_length() >> 1
    while step > 0:  # as many rounds as the number of knots has bits, whatever the data
        further = (place + step).clamp(max=len(knots) - 1)
        place = torch.where(knots.gather(0, further) <= x, further, place)
        step >>= 1
    return place
