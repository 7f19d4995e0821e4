"""The base class of modules that learn from columns of training rows."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn

from afina.preprocess.sample import Sample, column_samples


class ColumnModule(nn.Module):
    """Learn from training rows, column by column, and keep the results in buffers."""

    def fit(self, x: Tensor, weights: Tensor | None = None) -> Self:
        """Learn from training rows; NaN is missing, and a weight of 2 counts the row twice."""
        return self.fit_samples(column_samples(x, weights))

    def fit_samples(self, samples: Sequence[Sample]) -> Self:
        """Learn from one sample for each column."""
        raise NotImplementedError


def check_width(x: Tensor, n_features: int) -> None:
    """Raise ValueError unless rows have as many columns as in `fit`."""
    if x.ndim != 2 or x.shape[1] != n_features:
        raise ValueError(
            f"x must have shape (n, {n_features}), as in fit; got shape {tuple(x.shape)}. "
            "Fit first, and pass the same columns."
        )
