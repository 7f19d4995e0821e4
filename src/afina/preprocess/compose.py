"""The whole of preprocessing: turn raw numbers and times into numbers for a network."""

from collections.abc import Sequence
from typing import Self, TypeAlias, get_args

import torch
from torch import Tensor, nn

from afina.preprocess.dates import DateParts
from afina.preprocess.impute import Impute
from afina.preprocess.quantile import LEAST_QUANTILES, QuantileNormal
from afina.preprocess.sample import column_samples
from afina.preprocess.scale import Identity, MinMax, Robust, Standardize
from afina.preprocess.settings import Scaling, Strategy

Scaler: TypeAlias = MinMax | Standardize | Robust | QuantileNormal | Identity


class Preprocess(nn.Module):
    """Impute and scale numbers, and add parts of dates and indicators of missing values.

    The outputs are, in this order: numbers and times, imputed and scaled; sines and cosines of
    times (see `DateParts`); 0 or 1 for each column that had missing values in training.
    `out_names` names them.

    Shape:
        x_num (n, n_num), x_time (n, n_time) -> (n, d_out) float32

    Args:
        scaling: `batchnorm` leaves the numbers unscaled, in float64, for a normalization layer.
        impute: what replaces a missing number.

    Example:
        >>> x_num = torch.tensor([[1.0], [2.0], [float("nan")]], dtype=torch.float64)
        >>> x_time = torch.zeros(3, 0, dtype=torch.float64)
        >>> preprocess = Preprocess("minmax", "mean").fit(x_num, x_time)
        >>> preprocess(x_num, x_time).tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]]
        >>> preprocess.out_names
        ['num0', 'num0.missing']
    """

    def __init__(self, scaling: Scaling | None = "robust", impute: Strategy = "median") -> None:
        super().__init__()
        self.scaling = scaling
        self.num_names: list[str] = []
        self.time_names: list[str] = []
        self.impute = Impute(impute)
        self.scale = _make_scaler(scaling, 0, LEAST_QUANTILES)
        self.dates = DateParts()

    def fit(
        self,
        x_num: Tensor,
        x_time: Tensor,
        weights: Tensor | None = None,
        *,
        num_names: Sequence[str] | None = None,
        time_names: Sequence[str] | None = None,
    ) -> Self:
        """Learn from training rows; NaN is missing, and a weight of 2 counts the row twice.

        Args:
            x_num: numbers.
            x_time: seconds since 1970.
            weights: weight of each row, at least 0.
            num_names: names of the numbers, for `out_names`. None: `num0`, `num1`, ...
            time_names: names of the times. None: `time0`, `time1`, ...

        Raises:
            ValueError: shapes do not match, values are infinite, or weights are negative.
        """
        if x_num.ndim != 2 or x_time.ndim != 2 or len(x_num) != len(x_time):
            raise ValueError(
                "x_num and x_time must be (n, d) with the same n; got the shapes "
                f"{tuple(x_num.shape)} and {tuple(x_time.shape)}."
            )
        nums, times = column_samples(x_num, weights), column_samples(x_time, weights)
        self.num_names = _names(num_names, "num", len(nums))
        self.time_names = _names(time_names, "time", len(times))
        self.impute.fit_samples([*nums, *times])
        self.scale.fit_samples([*nums, *times])
        self.dates.fit_samples(times)
        return self

    @property
    def d_out(self) -> int:
        """Number of output columns."""
        return len(self.out_names)

    @property
    def out_names(self) -> list[str]:
        """Names of the output columns."""
        columns = [*self.num_names, *self.time_names]
        marked = [f"{columns[i]}.missing" for i in self.impute.marked.tolist()]
        return [*columns, *self.dates.names_of(self.time_names), *marked]

    def forward(self, x_num: Tensor, x_time: Tensor) -> Tensor:
        filled, missing = self.impute(torch.cat([x_num, x_time], dim=1))
        numbers = filled if self.scaling == "batchnorm" else self.scale(filled)
        dates = self.dates(x_time)
        return torch.cat([numbers, dates.to(numbers.dtype), missing.to(numbers.dtype)], dim=1)

    @property
    def n_quantiles(self) -> int:
        """Number of knots of the `quantile` scaling; 0 for other scalings."""
        return len(self.scale.knots) if isinstance(self.scale, QuantileNormal) else 0

    @classmethod
    def sized(
        cls,
        scaling: Scaling | None,
        impute: Strategy,
        *,
        num_names: Sequence[str],
        time_names: Sequence[str],
        n_indicators: int,
        n_timed: int,
        n_quantiles: int,
    ) -> Self:
        """Build an unfitted module that can load the state of a fitted one with these sizes."""
        made = cls(scaling, impute)
        made.num_names, made.time_names = list(num_names), list(time_names)
        n_features = len(made.num_names) + len(made.time_names)
        made.impute = Impute(impute, n_features, n_indicators)
        made.scale = _make_scaler(scaling, n_features, n_quantiles)
        made.dates = DateParts(len(made.time_names), n_timed)
        return made


def _make_scaler(scaling: Scaling | None, n_features: int, n_quantiles: int) -> Scaler:
    match scaling:
        case "minmax":
            return MinMax(n_features)
        case "standard":
            return Standardize(n_features)
        case "robust":
            return Robust(n_features)
        case "quantile":
            return QuantileNormal(n_features, n_quantiles)
        case None | "batchnorm":
            return Identity(n_features)
    raise ValueError(
        f"scaling must be one of {', '.join(get_args(Scaling))}, or None; got {scaling=}."
    )


def _names(names: Sequence[str] | None, default: str, n_columns: int) -> list[str]:
    chosen = [f"{default}{i}" for i in range(n_columns)] if names is None else list(names)
    if len(chosen) != n_columns:
        raise ValueError(
            f"Each of the {n_columns} columns must have a name; got {len(chosen)} names."
        )
    return chosen
