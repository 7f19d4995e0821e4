"""The quantile scaler, which maps any distribution to a normal one."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from afina.preprocess.column_module import ColumnModule, check_width
from afina.preprocess.sample import Sample, quantiles

LEAST_QUANTILES, MOST_QUANTILES = 10, 1000
_ROWS_A_QUANTILE = 30
_EDGE = 1e-7  # the smallest probability, so that the smallest value becomes -5.2, not -inf


class QuantileNormal(ColumnModule):
    """Map each column to a standard normal distribution by its quantiles.

    It uses clip(n / 30, 10, 1000) quantiles, with straight lines between them and constants (-5.2
    and 5.2) beyond the first and the last. A value that spans several quantiles, such as 0 in a
    column that is mostly 0, gets the normal quantile of the middle of its share.

    Shape:
        (n, n_features) -> (n, n_features)

    Args:
        n_features: number of columns; `fit` sets it, and a scaler that loads a state needs it.
        n_quantiles: number of quantiles of each column; set and needed like `n_features`.

    Source: Gorishniy et al. 2021, arXiv:2106.11959, for the number of quantiles.

    Differs: scikit-learn's QuantileTransformer maps a tie at an end to that end. Here, no noise is
        added to break ties, and the line between two quantiles is in normal scores, not in
        probabilities, so that only simple operations have to be exported.
    """

    knots: Tensor
    scores: Tensor

    def __init__(self, n_features: int = 0, n_quantiles: int = LEAST_QUANTILES) -> None:
        super().__init__()
        empty = torch.zeros(n_quantiles, n_features, dtype=torch.float64)
        self.register_buffer("knots", empty)
        self.register_buffer("scores", empty.clone())

    def fit_samples(self, samples: Sequence[Sample]) -> Self:
        n_rows = samples[0].n_rows if samples else 0.0
        n_quantiles = min(max(int(n_rows) // _ROWS_A_QUANTILE, LEAST_QUANTILES), MOST_QUANTILES)
        levels = torch.arange(n_quantiles, dtype=torch.float64) / (n_quantiles - 1)
        pairs = [_knots(quantiles(sample, levels), levels) for sample in samples]
        empty = torch.zeros(n_quantiles, 0, dtype=torch.float64)
        self.knots = torch.stack([knots for knots, _ in pairs], dim=1) if pairs else empty
        self.scores = torch.stack([scores for _, scores in pairs], dim=1) if pairs else empty
        return self

    def forward(self, x: Tensor) -> Tensor:
        check_width(x, self.knots.shape[1])
        x = x.to(torch.float64)
        inside = torch.maximum(torch.minimum(x, self.knots[-1]), self.knots[0])
        below = last_knot_below(inside, self.knots)
        above = (below + 1).clamp(max=len(self.knots) - 1)
        low, high = self.knots.gather(0, below), self.knots.gather(0, above)
        width = high / 2 - low / 2  # halved first, because the difference may overflow
        share = torch.where(width > 0, (inside / 2 - low / 2) / width, 0.0)
        start, end = self.scores.gather(0, below), self.scores.gather(0, above)
        score = start + share * (end - start)
        return torch.where(x.isnan(), x, score).to(torch.float32)


def _knots(values: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Return distinct knots and their normal scores, padded to a fixed number with the last one."""
    knots, scores = normal_scores(values, levels, _EDGE)
    fill = len(values) - len(knots)
    return (
        torch.cat([knots, knots[-1:].expand(fill)]),
        torch.cat([scores, scores[-1:].expand(fill)]),
    )


def normal_scores(values: Tensor, levels: Tensor, edge: float) -> tuple[Tensor, Tensor]:
    """Return each distinct quantile, with the normal score of the middle of its levels.

    Shape:
        (n_levels,), (n_levels,) -> (n_knots,), (n_knots,)

    Args:
        values: quantiles, ascending.
        levels: level of each quantile, in [0, 1].
        edge: smallest distance of a level from 0 and 1, so that scores are finite.
    """
    knots, counts = torch.unique_consecutive(values, return_counts=True)
    last = counts.cumsum(0) - 1
    middle = (levels[last] + levels[last - counts + 1]) / 2
    return knots, torch.special.ndtri(middle.clamp(edge, 1 - edge))


def last_knot_below(x: Tensor, knots: Tensor) -> Tensor:
    """Find the last knot not above each value, by a binary search of gathers and comparisons.

    Shape:
        (n, d), (n_knots, d) -> (n, d)
    """
    place = torch.zeros_like(x, dtype=torch.int64)
    step = 1 << (len(knots) - 1).bit_length() >> 1
    while step > 0:  # the number of rounds depends only on the number of knots, not on the data
        further = (place + step).clamp(max=len(knots) - 1)
        place = torch.where(knots.gather(0, further) <= x, further, place)
        step >>= 1
    return place
