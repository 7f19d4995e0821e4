"""The recurring parts of a time: the day of the year, the day of the week, the time of day.

The calendar is Gregorian, even before 1582, and computed with integer operations that can be
exported. Years begin in March, so that a leap day is the last day of its year.
"""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from afina.preprocess.column_module import ColumnModule, check_width
from afina.preprocess.sample import Sample

DAY_S = 86_400
_DAYS_400_YEARS = 146_097
_DAYS_BEFORE_1970 = 719_468  # since 1 March of the year 0
_LIMIT_S = 1e14  # three million years; times beyond it are clipped

PARTS = ("year_sin", "year_cos", "week_sin", "week_cos")
DAY_PARTS = ("day_sin", "day_cos")


class DateParts(ColumnModule):
    """Place times on the circles of the year, of the week and, if times of day vary, of the day.

    For each column, the output has the sine and cosine of the day of the year and of the day of the
    week; then, for each column whose training values differ in the time of day, the sine and cosine
    of the time of day. All of them are 0 for a missing time. The time itself is treated as a
    number, and is not part of the output.

    Shape:
        (n, n_features) -> (n, 4 * n_features + 2 * n_timed) float32

    Args:
        n_features: number of columns; `fit` sets it, and a module that loads a state needs it.
        n_timed: number of columns with times of day; set and needed like `n_features`.

    Example:
        >>> x = torch.tensor([[0.0]], dtype=torch.float64)  # Thursday, 1 January 1970
        >>> DateParts().fit(x)(x)
        tensor([[ 0.0000,  1.0000,  0.4339, -0.9010]])
    """

    timed: Tensor

    def __init__(self, n_features: int = 0, n_timed: int = 0) -> None:
        super().__init__()
        self.n_features = n_features
        self.register_buffer("timed", torch.zeros(n_timed, dtype=torch.int64))

    def fit_samples(self, samples: Sequence[Sample]) -> Self:
        """Learn which columns have times of day."""
        self.n_features = len(samples)
        timed = [column for column, sample in enumerate(samples) if _varies_in_the_day(sample)]
        self.timed = torch.tensor(timed, dtype=torch.int64)
        return self

    def forward(self, x: Tensor) -> Tensor:
        check_width(x, self.n_features)
        if (
            not self.n_features
        ):  # most tables have no dates, and the code below takes a third of the time for one row
            return x.to(torch.float32)
        x = x.to(torch.float64)
        missing = x.isnan()
        time = torch.where(missing, 0.0, x).clamp(-_LIMIT_S, _LIMIT_S)
        days = (time / DAY_S).floor()
        day_share = time / DAY_S - days
        year_share, week_share = _year_and_week(days.to(torch.int64))
        turns = torch.stack([year_share, week_share], dim=2) * (2 * math.pi)
        parts = torch.stack([turns.sin(), turns.cos()], dim=3)  # (n, d, 2) -> (n, d, 2, 2)
        parts = torch.where(missing[:, :, None, None], 0.0, parts).flatten(1)
        day_turns = day_share.index_select(1, self.timed) * (2 * math.pi)
        day_parts = torch.stack([day_turns.sin(), day_turns.cos()], dim=2)
        lacking = missing.index_select(1, self.timed)
        day_parts = torch.where(lacking[:, :, None], 0.0, day_parts).flatten(1)
        return torch.cat([parts, day_parts], dim=1).to(torch.float32)

    def names_of(self, columns: Sequence[str]) -> list[str]:
        """Return names for the outputs, given the names of the columns."""
        parts = [f"{column}.{part}" for column in columns for part in PARTS]
        timed = [columns[i] for i in self.timed.tolist()]
        return parts + [f"{column}.{part}" for column in timed for part in DAY_PARTS]


def day_of_year(days: Tensor) -> tuple[Tensor, Tensor]:
    """Return the days since 1 January, and the number of days in that year.

    Shape:
        (*,) int64 -> (*,) int64, (*,) int64

    Args:
        days: days since 1 January 1970.

    Example:
        >>> day_of_year(torch.tensor([0, 59, 364, 789]))  # 789 is 29 February 1972
        (tensor([  0,  59, 364,  59]), tensor([365, 365, 365, 366]))
    """
    day = (days + _DAYS_BEFORE_1970) % _DAYS_400_YEARS  # within 400 years, from 0 to 146,096
    # Drop the leap days, so that every year has 365 days.
    even = day - _floor(day, 1460) + _floor(day, 36_524) - _floor(day, 146_096)
    year = _floor(even, 365)
    day = day - (365 * year + _floor(year, 4) - _floor(year, 100))  # since 1 March
    year = torch.where(day >= 306, year + 1, year)  # from here on, years begin in January
    leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    n_days = 365 + leap.to(torch.int64)
    return torch.where(day >= 306, day - 306, day + n_days - 306), n_days


def _year_and_week(days: Tensor) -> tuple[Tensor, Tensor]:
    """Return the elapsed shares of the year, and of the week, which begins on Monday."""
    day, n_days = day_of_year(days)
    week_day = (days + 3) % 7  # 1 January 1970 was a Thursday
    return day.to(torch.float64) / n_days, week_day.to(torch.float64) / 7


def _floor(whole: Tensor, divisor: int) -> Tensor:
    return torch.div(whole, divisor, rounding_mode="floor")


def _varies_in_the_day(sample: Sample) -> bool:
    """Return whether the times of day differ; those of plain dates do not."""
    times = sample.values - (sample.values / DAY_S).floor() * DAY_S
    return len(times) > 0 and bool((times != times[0]).any())
