"""Scale a regression target for the network, and scale its outputs back."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from afina.preprocess import Log, Quantile, TargetKind, fit_target
from afina.tabular.preparation.rows import Floats, even_weights


class TargetScale(nn.Module):
    """Map standardized outputs to the target's own units.

    Shape:
        (n,) -> (n,) float64

    Args:
        transform: transform applied to the target before it was standardized. None: no transform.
        clips: keep predictions within the range of the training targets.
    """

    mean: Tensor
    scale: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, transform: Log | Quantile | None = None, *, clips: bool = False) -> None:
        super().__init__()
        self.transform = transform
        self.clips = clips
        for name, value in (("mean", 0.0), ("scale", 1.0)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))
        for name in ("low", "high") if clips else ():
            self.register_buffer(name, torch.tensor(0.0, dtype=torch.float64))

    @property
    def kind(self) -> TargetKind | None:
        """Name of the transform, or None."""
        if self.transform is None:
            return None
        return "log" if isinstance(self.transform, Log) else "quantile"

    @property
    def n_knots(self) -> int:
        """Number of knots of the `quantile` transform; 0 for others."""
        return len(self.transform.knots) if isinstance(self.transform, Quantile) else 0

    def standardize(self, y: Tensor) -> Tensor:
        """Map targets to the values that the network is trained on."""
        seen = y.double() if self.transform is None else self.transform(y)
        return (seen - self.mean) / self.scale

    def undo(self, outputs: Tensor) -> Tensor:
        """Undo `standardize`, without clipping to the range."""
        seen = outputs.double() * self.scale + self.mean
        return seen if self.transform is None else self.transform.back(seen)

    def forward(self, outputs: Tensor) -> Tensor:
        """Return predictions in the target's units."""
        values = self.undo(outputs)
        return values.clamp(self.low, self.high) if self.clips else values


def fit_target_scale(
    y: Floats, weights: Floats, kind: TargetKind | Literal["auto"] | None, *, clips: bool
) -> TargetScale:
    """Learn the transform, mean, standard deviation and range from the training targets.

    Args:
        y: training targets.
        weights: weight of each row, above 0.
        kind: kind of the transform.
        clips: keep predictions within the range of the training targets.
    """
    values = torch.from_numpy(y)
    scale_module = TargetScale(fit_target(kind, values, torch.from_numpy(weights)), clips=clips)
    mean, scale = target_scale(scale_module.standardize(values).numpy(), weights)
    scale_module.mean.fill_(mean)
    scale_module.scale.fill_(scale)
    if clips:
        scale_module.low.fill_(float(y.min()))
        scale_module.high.fill_(float(y.max()))
    return scale_module


def make_target_scale(kind: TargetKind | None, n_knots: int, *, clips: bool) -> TargetScale:
    """Build an unfitted module that can load the state of a fitted one."""
    transform = None if kind is None else Log() if kind == "log" else Quantile(n_knots)
    return TargetScale(transform, clips=clips)


def target_scale(y: Floats, weights: Floats) -> tuple[float, float]:
    """Return the weighted mean and standard deviation (divided by the total weight) of a target.

    A constant target has scale 1. Squares of huge and tiny targets do not overflow or underflow.

    Example:
        >>> target_scale(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
        (2.0, 1.0)
    """
    even = even_weights(weights)
    share = even / even.sum()
    unit = float(np.abs(y).max(initial=0.0)) or 1.0
    center = float((share * (y / unit)).sum())
    spread = float(np.sqrt((share * (y / unit - center) ** 2).sum()))
    scale = spread * unit
    # Below this, differences are rounding errors of one value that is written in several ways.
    constant = spread <= 4 * np.finfo(np.float64).eps * abs(center) or scale == 0.0
    return center * unit, 1.0 if constant else scale
