"""Transforms of a skewed regression target, and their inverses.

Each transform maps all finite numbers one to one, in float64, so that every target can be
transformed, even beyond the range of the training rows, and every output of the network becomes a
finite value.
"""

from typing import Literal, Self

import torch
from torch import Tensor, nn

from afina.preprocess.quantile import last_knot_below, normal_scores
from afina.preprocess.sample import Sample, column_samples, deviation, mean, quantiles
from afina.preprocess.settings import TargetKind

MOST_KNOTS = 1000
_LEAST_KNOTS = 10
_ROWS_A_KNOT = 30
_LARGEST = torch.finfo(torch.float64).max
_SMALLEST = 5e-324
_LARGEST_LOG = 709.0  # its exponential still fits float64
_FAR_TAIL = 3.0
_SKEWED = 2.0


class Log(nn.Module):
    """Replace targets with the signed logarithm of their distance from an anchor.

    The formula is `sign(z) log(1 + |z|)` with `z = (y - anchor) / unit`. The anchor is the end of
    the training targets on the side of the short tail, or their median if both tails are long; the
    unit is the distance from the anchor to the median, or half the interquartile range.

    Shape:
        (n,) -> (n,) float64

    Example:
        >>> y = torch.tensor([0.0, 1.0, 3.0, 50.0], dtype=torch.float64)
        >>> log = Log().fit_sample(column_samples(y[:, None], None)[0])
        >>> log(y).round(decimals=2).tolist()
        [0.0, 0.41, 0.92, 3.26]
    """

    anchor: Tensor
    unit: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("anchor", torch.zeros((), dtype=torch.float64))
        self.register_buffer("unit", torch.ones((), dtype=torch.float64))

    def fit_sample(self, sample: Sample) -> Self:
        """Learn the anchor and the unit from the training targets."""
        levels = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64)
        low, first, middle, third, high = (quantiles(sample, levels) / 2).tolist()  # no overflow
        spread = third - first
        sides = ((low, middle - low), (high, high - middle))
        anchor, unit = min(sides, key=lambda side: side[1])
        if unit > _FAR_TAIL * spread or unit == 0.0:  # no short tail, or half of y is one value
            anchor, unit = (middle if unit else anchor), spread / 2
        if not unit:
            unit = deviation(sample) / 2 or 0.5
        self.anchor.fill_(2 * anchor)
        self.unit.fill_(min(2 * unit, _LARGEST))
        return self

    def forward(self, y: Tensor) -> Tensor:
        half = y.double() / 2 - self.anchor / 2
        z = (half / self.unit).clamp(-_LARGEST / 2, _LARGEST / 2) * 2
        return z.sign() * z.abs().log1p()

    def back(self, t: Tensor) -> Tensor:
        """Invert the transform."""
        z = t.sign() * t.abs().clamp(max=_LARGEST_LOG).expm1()
        return ((z * self.unit).clamp(-_LARGEST, _LARGEST) + self.anchor).clamp(-_LARGEST, _LARGEST)


class Quantile(nn.Module):
    """Map targets to a normal distribution by the quantiles of the training targets.

    Straight lines join the knots, and the outer lines continue beyond the first and the last. A
    value that spans several quantiles gets the normal quantile of the middle of its share.

    Shape:
        (n,) -> (n,) float64

    Args:
        n_knots: number of knots; `fit_sample` sets it, and a module that loads a state needs it.
    """

    knots: Tensor
    scores: Tensor

    def __init__(self, n_knots: int = 2) -> None:
        super().__init__()
        self.register_buffer("knots", torch.arange(n_knots, dtype=torch.float64))
        self.register_buffer("scores", torch.arange(n_knots, dtype=torch.float64))

    def fit_sample(self, sample: Sample) -> Self:
        """Learn knots from at least two distinct training targets; each end counts as half a row."""
        n_levels = min(max(int(sample.n_rows) // _ROWS_A_KNOT, _LEAST_KNOTS), MOST_KNOTS)
        levels = torch.arange(n_levels, dtype=torch.float64) / (n_levels - 1)
        knots, scores = normal_scores(
            quantiles(sample, levels), levels, 0.5 / max(sample.n_rows, 2.0)
        )
        rising = torch.cat([torch.ones(1, dtype=torch.bool), scores[1:] > scores[:-1]])
        self.knots, self.scores = knots[rising], scores[rising]
        return self

    def forward(self, y: Tensor) -> Tensor:
        return _follow_lines(y.double(), self.knots, self.scores)

    def back(self, t: Tensor) -> Tensor:
        """Invert the transform."""
        return _follow_lines(t.double(), self.scores, self.knots)


def fit_target(
    kind: TargetKind | Literal["auto"] | None, y: Tensor, weights: Tensor | None
) -> Log | Quantile | None:
    """Fit a transform of the targets on training rows; return None if they stay unchanged.

    Args:
        kind: kind of the transform. `auto`: `log` if the absolute skewness exceeds 2, otherwise
            None.
        y: training targets.
        weights: weight of each row; a weight of 2 counts the row twice.
    """
    sample = column_samples(y[:, None], weights)[0]
    if kind == "auto":
        kind = "log" if abs(_skewness(sample)) > _SKEWED else None
    if kind is None or len(sample.values) < 2:
        return None
    return Log().fit_sample(sample) if kind == "log" else Quantile().fit_sample(sample)


def _follow_lines(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Interpolate between knots along straight lines; the outer lines extend beyond the knots."""
    below = last_knot_below(x[:, None], knots[:, None])[:, 0].clamp(max=len(knots) - 2)
    low, high = knots[below] / 2, knots[below + 1] / 2  # halved, because differences may overflow
    width = (high - low).clamp(min=_SMALLEST)  # half of the smallest number is 0
    share = ((x / 2 - low) / width).clamp(-1e300, 1e300)
    start, end = values[below] / 2, values[below + 1] / 2
    return ((start + share * (end - start)) * 2).clamp(-_LARGEST, _LARGEST)


def _skewness(sample: Sample) -> float:
    """Return the weighted third moment of the standardized values; 0 if they are constant."""
    spread = deviation(sample)
    if not spread:
        return 0.0
    z = (sample.values / spread - mean(sample) / spread).clamp(-1e100, 1e100)
    return float((sample.weights * z**3).sum() / sample.weights.sum())
