"""The calendar is that of Python, in tensor operations."""

import datetime as dt
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afina.preprocess import DateParts
from afina.preprocess.dates import day_of_year

DAY_S = 86_400


def seconds(*times: str | float) -> torch.Tensor:
    """Make one column of seconds since 1970 from ISO times in UTC."""
    found = [
        dt.datetime.fromisoformat(time).replace(tzinfo=dt.UTC).timestamp()
        if isinstance(time, str)
        else time
        for time in times
    ]
    return torch.tensor(found, dtype=torch.float64).reshape(-1, 1)


def test_every_day_of_ten_thousand_years_is_that_of_python() -> None:
    """For each day from year 1 to 9999 the day of the year and the year's length are right."""
    epoch = dt.date(1970, 1, 1).toordinal()
    ordinals = range(1, dt.date.max.toordinal() + 1, 7)
    days = torch.tensor([ordinal - epoch for ordinal in ordinals])
    found, n_days = day_of_year(days)
    dates = [dt.date.fromordinal(ordinal) for ordinal in ordinals]

    assert found.tolist() == [date.timetuple().tm_yday - 1 for date in dates]
    assert n_days.tolist() == [dt.date(date.year, 12, 31).timetuple().tm_yday for date in dates]


@pytest.mark.parametrize("year", [1, 4, 100, 400, 1600, 1900, 1999, 2000, 2024, 2100, 9999])
def test_every_day_of_the_years_that_rules_are_about(year: int) -> None:
    """In common, leap, century and 400-year years every single day is right."""
    first = dt.date(year, 1, 1)
    n_days = dt.date(year, 12, 31).timetuple().tm_yday
    start = first.toordinal() - dt.date(1970, 1, 1).toordinal()
    found, lengths = day_of_year(start + torch.arange(n_days))

    assert found.tolist() == list(range(n_days))
    assert set(lengths.tolist()) == {n_days}


@given(st.integers(-(10**7), 10**7))
def test_the_calendar_repeats_every_400_years(day: int) -> None:
    """Also before the year 1 and after 9999, 400 years are 146,097 days."""
    found = day_of_year(torch.tensor([day, day + 146_097, day - 146_097]))[0]

    assert len(found.unique()) == 1


def test_parts_are_places_on_circles() -> None:
    """1 July 2024, a Monday, is 182 of 366 days into the year and 0 into the week."""
    x = seconds("2024-07-01", "2024-07-03")
    year = 2 * math.pi * 182 / 366
    expected = [math.sin(year), math.cos(year), 0.0, 1.0]

    assert DateParts().fit(x)(x)[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_times_of_day_are_taken_where_they_differ_in_training() -> None:
    """Dates alone have no time of day, also when all are at 22:00 of the day before in UTC."""
    dates = seconds("2024-07-01", "2024-07-02", math.nan)
    shifted = dates - 7200
    times = seconds("2024-07-01T06:00", "2024-07-02", math.nan)
    fitted = DateParts().fit(torch.cat([dates, times, shifted], dim=1))
    found = fitted(torch.cat([dates, times, shifted], dim=1))

    assert fitted.timed.tolist() == [1]
    assert found.shape == (3, 14)
    assert found[0, 12:].tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    assert fitted.names_of(["a", "b", "c"])[-2:] == ["b.day_sin", "b.day_cos"]


def test_what_is_missing_is_0_in_every_part() -> None:
    """A missing time is 0 on all circles, which no time is."""
    x = seconds("2024-07-01T06:00", "2024-07-02", math.nan)
    found = DateParts().fit(x)(x)

    assert found[2].tolist() == [0.0] * 6
    assert (found[:2].reshape(2, 3, 2).square().sum(dim=2) - 1).abs().max() < 1e-6


def test_whether_times_of_day_count_is_learned_from_rows_with_weight() -> None:
    """A time of day in a row of weight 0 is not seen."""
    x = seconds("2024-07-01", "2024-07-02", "2024-07-02T05:00")

    assert DateParts().fit(x, torch.tensor([1, 2, 0])).timed.tolist() == []
    assert DateParts().fit(x, torch.tensor([1, 2, 1])).timed.tolist() == [0]


@pytest.mark.parametrize("time", [1e300, -1e300, math.inf, -math.inf, 1e14, -62135596800.0])
def test_any_time_has_finite_parts(time: float) -> None:
    """Times beyond all calendars have finite parts."""
    x = seconds("2024-07-01T01:00", "2024-07-02")

    assert DateParts().fit(x)(seconds(time)).isfinite().all()


def test_rows_do_not_depend_on_each_other() -> None:
    """A row alone comes out bit for bit as in a batch; no rows and no columns go through."""
    x = torch.linspace(-1e10, 1e10, 301, dtype=torch.float64).reshape(-1, 1) + 0.5
    fitted = DateParts().fit(x)
    alone = torch.cat([fitted(row[None]) for row in x])

    assert fitted(x).numpy().tobytes() == alone.numpy().tobytes()
    assert fitted(x[:0]).shape == (0, 6)
    assert DateParts().fit(torch.zeros(3, 0))(torch.zeros(3, 0)).shape == (3, 0)
