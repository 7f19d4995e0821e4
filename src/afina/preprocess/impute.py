"""Fill in missing numbers, and add a column that marks them."""

from collections.abc import Sequence
from typing import Self, get_args

import torch
from torch import Tensor

from afina.nn.arguments import check_choice
from afina.preprocess.column_module import ColumnModule, check_width
from afina.preprocess.sample import Sample, mean, quantiles
from afina.preprocess.settings import Strategy


class Impute(ColumnModule):
    """Fill in missing numbers, and mark them in columns that had some in training.

    Shape:
        (n, n_features) -> (n, n_features) float64, (n, n_indicators) float32

    Args:
        strategy: the value to fill in, computed from the training rows; 0 for a column without
            values.
        n_features: number of columns; `fit` sets it, and a module that loads a state needs it.
        n_indicators: number of columns that had missing values; set and needed like `n_features`.

    Example:
        >>> x = torch.tensor([[1.0], [float("nan")], [5.0]], dtype=torch.float64)
        >>> filled, missing = Impute("mean").fit(x)(x)
        >>> filled.flatten().tolist(), missing.flatten().tolist()
        ([1.0, 3.0, 5.0], [0.0, 1.0, 0.0])
    """

    fill: Tensor
    marked: Tensor

    def __init__(
        self, strategy: Strategy = "median", n_features: int = 0, n_indicators: int = 0
    ) -> None:
        check_choice("strategy", strategy, get_args(Strategy))
        super().__init__()
        self.strategy = strategy
        self.register_buffer("fill", torch.zeros(n_features, dtype=torch.float64))
        self.register_buffer("marked", torch.zeros(n_indicators, dtype=torch.int64))

    def fit_samples(self, samples: Sequence[Sample]) -> Self:
        self.fill = torch.tensor(
            [_fill_value(sample, self.strategy) for sample in samples], dtype=torch.float64
        )
        self.marked = torch.tensor(
            [column for column, sample in enumerate(samples) if sample.has_missing],
            dtype=torch.int64,
        )
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        check_width(x, len(self.fill))
        x = x.to(torch.float64)
        missing = x.isnan()
        return (
            torch.where(missing, self.fill, x),
            missing.index_select(1, self.marked).to(torch.float32),
        )

    def extra_repr(self) -> str:
        return f"strategy={self.strategy!r}"


def _fill_value(sample: Sample, strategy: Strategy) -> float:
    if strategy == "median":
        return float(quantiles(sample, torch.tensor([0.5], dtype=torch.float64)))
    return mean(sample) if strategy == "mean" else 0.0
