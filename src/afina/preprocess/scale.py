"""Scalers: shift and stretch each column by statistics of the training rows.

All scalers subtract in float64, so that close numbers far from 0 (times in seconds, identifiers)
keep their differences, and return float32. Every finite float64 has a finite output; NaN stays NaN.
A column that was constant or empty in training becomes 0.
"""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from afina.preprocess.column_module import ColumnModule, check_width
from afina.preprocess.sample import Sample, deviation, half_range, mean, quantiles

LIMIT = 1e6
"""Outputs of `MinMax` and `Standardize` are clipped to plus and minus this."""

_LARGEST = torch.finfo(torch.float64).max
_LARGEST32 = torch.finfo(torch.float32).max
_PRE_CLIP = 1e9  # after an export to float32, squares of larger numbers would overflow


def smooth_clip(x: Tensor, *, limit: float = 3.0) -> Tensor:
    """Squash values smoothly into (-limit, limit), almost unchanged near 0.

    The formula is `x / sqrt(1 + (x / limit)^2)`, after clipping x to plus and minus 1e9.

    Example:
        >>> smooth_clip(torch.tensor([0.0, 3.0, 1e30]))
        tensor([0.0000, 2.1213, 3.0000])

    Source: Holzmueller, Grinsztajn & Steinwart 2024, arXiv:2407.04491, section 3.
    """
    x = x.clamp(-_PRE_CLIP, _PRE_CLIP)
    return x / torch.sqrt(1 + (x / limit) ** 2)


class AffineScaler(ColumnModule):
    """Shift and stretch each column, then clip to plus and minus `LIMIT`.

    Shape:
        (n, n_features) -> (n, n_features)

    Args:
        n_features: number of columns; set by `fit`, and needed by a scaler that loads a state.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, n_features: int = 0) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(n_features, dtype=torch.float64))
        self.register_buffer("scale", torch.zeros(n_features, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self._stretch(x).clamp(-LIMIT, LIMIT).to(torch.float32)

    def _stretch(self, x: Tensor) -> Tensor:
        """Shift and stretch; clip a difference that overflows, so that 0 times it is 0."""
        check_width(x, len(self.center))
        return (x.to(torch.float64) - self.center).clamp(-_LARGEST, _LARGEST) * self.scale


class MinMax(AffineScaler):
    """Scale the training rows to [0, 1]: `(x - min) / (max - min)`.

    Example:
        >>> x = torch.tensor([[2.0], [6.0]], dtype=torch.float64)
        >>> MinMax().fit(x)(torch.tensor([[3.0]], dtype=torch.float64))
        tensor([[0.2500]])
    """

    def fit_samples(self, samples: Sequence[Sample]) -> Self:
        ends = _columns([_ends(sample) for sample in samples], 2)
        self.center = ends[:, 0].clone()
        self.scale = 0.5 * _inverse(half_range(ends[:, 0], ends[:, 1]))
        return self


class Standardize(AffineScaler):
    """Scale the training rows to mean 0 and standard deviation 1 (computed with 1 / n)."""

    def fit_samples(self, samples: Sequence[Sample]) -> Self:
        self.center = torch.tensor(list(map(mean, samples)), dtype=torch.float64)
        self.scale = _inverse(torch.tensor(list(map(deviation, samples)), dtype=torch.float64))
        return self


class Robust(AffineScaler):
    """Subtract the median, divide by the interquartile range, and clip smoothly to (-3, 3).

    If the quartiles are equal, half the range replaces the interquartile range.

    Source: Holzmueller, Grinsztajn & Steinwart 2024, arXiv:2407.04491, section 3.
    """

    def fit_samples(self, samples: Sequence[Sample]) -> Self:
        levels = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
        quartiles = _columns([quantiles(sample, levels) for sample in samples], 3)
        ends = _columns([_ends(sample) for sample in samples], 2)
        between = half_range(quartiles[:, 0], quartiles[:, 2])
        whole = half_range(ends[:, 0], ends[:, 1])
        self.center = quartiles[:, 1].clone()
        self.scale = torch.where(between > 0, 0.5 * _inverse(between), _inverse(whole))
        return self

    def forward(self, x: Tensor) -> Tensor:
        return smooth_clip(self._stretch(x)).to(torch.float32)


class Identity(ColumnModule):
    """Convert numbers to float32, clipped to the largest float32.

    Shape:
        (n, n_features) -> (n, n_features)

    Args:
        n_features: number of columns; set by `fit`.
    """

    def __init__(self, n_features: int = 0) -> None:
        super().__init__()
        self.n_features = n_features

    def fit_samples(self, samples: Sequence[Sample]) -> Self:
        self.n_features = len(samples)
        return self

    def forward(self, x: Tensor) -> Tensor:
        check_width(x, self.n_features)
        return x.clamp(-_LARGEST32, _LARGEST32).to(torch.float32)


def _inverse(spread: Tensor) -> Tensor:
    """Return the reciprocal; 0 stays 0, and reciprocals of subnormal numbers are clipped."""
    return torch.where(spread > 0, 1 / spread, 0.0).clamp(max=_LARGEST)


def _ends(sample: Sample) -> Tensor:
    if len(sample.values) == 0:
        return torch.zeros(2, dtype=torch.float64)
    return sample.values[[0, -1]]


def _columns(rows: list[Tensor], width: int) -> Tensor:
    """Stack one row of statistics for each column, even if there are no columns."""
    return torch.stack(rows) if rows else torch.zeros(0, width, dtype=torch.float64)
