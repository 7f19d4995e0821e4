"""A sample of each column in the training rows: its distinct values and their weights.

Every statistic is a function of this sample. Repeated rows and whole-number weights give the same
sample, and therefore the same statistics, bit for bit. The order of the rows has no effect.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_MOST_COPIES = 2.0**53  # whole numbers below this are exact in float64
_FAR = 2.0**400  # squares of larger numbers, and of their inverses, exceed float64


@dataclass(frozen=True)
class Sample:
    """One column of the training rows.

    Args:
        values: the distinct values, ascending, float64. Shape (n_values,).
        weights: weight of each value, above 0. Shape (n_values,).
        has_missing: whether any row has no value.
        n_rows: total weight of all rows, including rows without a value.
    """

    values: Tensor
    weights: Tensor
    has_missing: bool
    n_rows: float


def column_samples(x: Tensor, weights: Tensor | None) -> list[Sample]:
    """Collect a sample of every column.

    Rows with weight 0 are ignored. Equal weights have no effect. Weights that are not all whole
    numbers are divided by their mean, so that they add up to the number of rows.

    Shape:
        (n, d), (n,) -> d samples

    Args:
        x: training rows; NaN is missing.
        weights: weight of each row, at least 0; a weight of 2 counts the row twice.

    Raises:
        ValueError: shapes do not match, values are infinite, or weights are negative.
    """
    x = x.to(torch.float64)
    if x.ndim != 2 or x.isinf().any():
        raise ValueError(
            f"x must be (n, d) of finite numbers or NaN; got shape {tuple(x.shape)} with "
            f"{int(x.isinf().sum())} infinite values."
        )
    w = None if weights is None else _normalize_weights(weights, len(x))
    if w is not None:
        x, w = x[w > 0], w[w > 0]
        if len(w) == 0 or bool(w.min() == w.max()):
            w = None
    n_rows = float(len(x) if w is None else w.sum())
    return [_sample(column, w, n_rows) for column in x.T]


def mean(sample: Sample) -> float:
    """Return the weighted mean, or 0 without values; close values far from 0 lose no precision."""
    if len(sample.values) == 0:
        return 0.0
    values, unit = _near(sample.values)
    return float(_center(values, sample.weights) * unit)


def deviation(sample: Sample) -> float:
    """Return the weighted standard deviation (divided by the total weight), or 0 without values."""
    if len(sample.values) == 0:
        return 0.0
    values, unit = _near(sample.values)
    gaps = values - _center(values, sample.weights)
    return float(((sample.weights * gaps**2).sum() / sample.weights.sum()).sqrt() * unit)


def quantiles(sample: Sample, levels: Tensor) -> Tensor:
    """Return quantiles by linear interpolation at `level * (W - 1)`, where W is the total weight.

    A value with weight w occupies w positions, as if repeated, after all smaller values; a straight
    line joins the last position of a value to the first position of the next. A value with a weight
    below 1 occupies one position. With whole weights, these are the quantiles of the repeated
    sample, as numpy and scikit-learn compute them.

    Shape:
        (n_levels,) -> (n_levels,)

    Example:
        >>> column = column_samples(torch.tensor([[1.0], [2.0]]), torch.tensor([3.0, 1.0]))[0]
        >>> quantiles(column, torch.tensor([0.5, 0.75, 1.0], dtype=torch.float64))
        tensor([1.0000, 1.2500, 2.0000], dtype=torch.float64)
    """
    if len(sample.values) == 0:
        return torch.zeros_like(levels)
    reached = sample.weights.cumsum(0)
    first = reached - sample.weights
    last = torch.maximum(reached - 1, first)
    position = (levels * (reached[-1] - 1)).clamp(min=0)
    below = torch.searchsorted(first, position, right=True) - 1
    above = (below + 1).clamp(max=len(first) - 1)
    gap = (first[above] - last[below]).clamp(min=torch.finfo(torch.float64).tiny)
    share = ((position - last[below]) / gap).clamp(0, 1)
    low, high = sample.values[below], sample.values[above]
    half = half_range(low, high) * share
    line = torch.where((high - low).isfinite(), low + (high - low) * share, low + half + half)
    return torch.where(share > 0, line, low)


def half_range(low: Tensor, high: Tensor) -> Tensor:
    """Return half the distance between two numbers, without overflow."""
    return high / 2 - low / 2


def _normalize_weights(weights: Tensor, n_rows: int) -> Tensor:
    weights = weights.to(torch.float64)
    if weights.shape != (n_rows,):
        raise ValueError(
            f"weights must have one value for each of {n_rows} rows; got shape "
            f"{tuple(weights.shape)}."
        )
    if not bool(((weights >= 0) & weights.isfinite()).all()):
        raise ValueError("weights must be finite and at least 0, but one is not.")
    if bool((weights == weights.floor()).all()) and float(weights.sum()) < _MOST_COPIES:
        return weights
    shares = weights / weights.max()  # divided first, so that nothing overflows
    return shares / shares[shares > 0].mean()


def _sample(column: Tensor, w: Tensor | None, n_rows: float) -> Sample:
    has_value = ~column.isnan()
    present = column[has_value] + 0.0  # turns -0.0 into 0.0, because they are one value
    ordered, order = present.sort(stable=True)
    values, group, counts = torch.unique_consecutive(
        ordered, return_inverse=True, return_counts=True
    )
    weights = counts.to(torch.float64)
    if w is not None:
        weights = torch.zeros_like(values).index_add_(0, group, w[has_value][order])
    return Sample(values, weights, len(present) < len(column), n_rows)


def _near(values: Tensor) -> tuple[Tensor, float]:
    """Scale extreme values to near 1; return them, and the power of two that undoes it."""
    largest = float(values.abs().max())
    if largest > _FAR:
        return values * 2.0**-600, 2.0**600
    if largest < 1 / _FAR:
        return values * 2.0**600, 2.0**-600
    return values, 1.0


def _center(values: Tensor, weights: Tensor) -> Tensor:
    pivot = values[len(values) // 2]
    return pivot + (weights * (values - pivot)).sum() / weights.sum()
