"""Nine small synthetic tables, with every kind of cell that afina reads."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def with_gaps(rng: Generator, values: Any, share: float) -> pd.Series:
    """Remove a share of the cells; whole numbers stay whole."""
    column = pd.Series(values).convert_dtypes(convert_floating=False)
    return column.mask(rng.random(len(column)) < share)


def levels(rng: Generator, name: str, n_levels: int, n: int) -> tuple[NDArray[Any], Floats]:
    """Draw frequent and rare levels of a category, and the effect of each."""
    shares = 1.0 / np.arange(1, n_levels + 1)
    codes = rng.choice(n_levels, n, p=shares / shares.sum())
    names = np.array([f"{name} {code}" for code in range(n_levels)], dtype=object)
    return names[codes], rng.normal(size=n_levels)[codes]


def dates(rng: Generator, n: int, form: str) -> NDArray[Any]:
    """Draw days of ten years, in a format of `strftime`."""
    days = pd.Timestamp("2012-01-01") + pd.to_timedelta(rng.integers(0, 3652, n), unit="D")
    return days.strftime(form).to_numpy(dtype=object)


def euros(values: Floats) -> list[str]:
    """Write amounts with decimal commas: 1.234,50 €."""
    swapped = str.maketrans(",.", ".,")
    return [f"{value:,.2f}".translate(swapped) + " €" for value in values]


def dollars(values: Floats) -> list[str]:
    """Write amounts with a sign before and commas between thousands: $1,234.50."""
    return [f"${value:,.2f}" for value in values]


def clicks(rng: Generator, n: int) -> pd.DataFrame:
    """Two classes: missing cells, booleans, a category of many levels, row weights."""
    site, site_worth = levels(rng, "site", 90, n)
    device, device_worth = levels(rng, "device", 4, n)
    age, spent = rng.integers(18, 80, n), rng.lognormal(3.0, 1.0, n).round(2)
    member = rng.random(n) < 0.3
    score = site_worth + device_worth + 2.0 * member - 0.03 * (age - 45) + np.log(spent) - 3.5
    return pd.DataFrame(
        {
            "age": with_gaps(rng, age, 0.1),
            "spent": with_gaps(rng, spent, 0.05),
            "site": site,
            "device": with_gaps(rng, device, 0.08),
            "member": np.where(member, "true", "false"),
            "times": rng.choice([0.5, 1.0, 2.0], n),
            "clicked": np.where(score + rng.logistic(size=n) > 0, "yes", "no"),
        }
    )


def shapes(rng: Generator, n: int) -> pd.DataFrame:
    """Four classes from six numbers, one of them a count."""
    x = rng.normal(size=(n, 5)).round(4)
    count = rng.poisson(3.0, n)
    kind = 2 * (x[:, 0] * x[:, 1] > 0) + (x[:, 2] + 0.3 * count > 1.0)
    kind = np.where(rng.random(n) < 0.1, rng.integers(0, 4, n), kind)
    columns: dict[str, Any] = {f"length {i}": x[:, i] for i in range(5)}
    names = np.array(["round", "square", "star", "line"], dtype=object)
    return pd.DataFrame({**columns, "corners": count, "shape": names[kind]})


def rents(rng: Generator, n: int) -> pd.DataFrame:
    """A skewed number: decimal commas, amounts in euros, dates, yes and no."""
    district, worth = levels(rng, "district", 12, n)
    area = rng.lognormal(4.2, 0.4, n).round(1)
    furnished = rng.random(n) < 0.25
    rent = np.exp(0.3 * worth + 0.2 * furnished + rng.normal(0.0, 0.2, n)) * area * 9.0
    return pd.DataFrame(
        {
            "area": [f"{value:.1f}".replace(".", ",") for value in area],
            "deposit": with_gaps(rng, euros(rent * rng.uniform(2.0, 3.0, n)), 0.15),
            "since": with_gaps(rng, dates(rng, n, "%d.%m.%Y"), 0.05),
            "furnished": np.where(furnished, "yes", "no"),
            "district": district,
            "rent": rent.round(2),
        }
    )


def visits(rng: Generator, n: int) -> pd.DataFrame:
    """A number with outliers, from groups of rows."""
    clinic = rng.integers(0, 40, n)
    x = rng.normal(size=(n, 4)).round(3)
    effect = rng.normal(size=40)[clinic]
    minutes = 20.0 + 4.0 * x[:, 0] + 3.0 * np.abs(x[:, 1]) + 2.0 * effect + rng.standard_t(2, n)
    columns: dict[str, Any] = {f"x{i}": with_gaps(rng, x[:, i], 0.02 * i) for i in range(4)}
    return pd.DataFrame({**columns, "clinic": clinic, "minutes": minutes.round(3)})


def sales(rng: Generator, n: int) -> pd.DataFrame:
    """A number that drifts with time, one row per day and shop."""
    day = pd.Timestamp("2019-03-01") + pd.to_timedelta(np.arange(n) // 2, unit="D")
    shop, worth = levels(rng, "shop", 6, n)
    price = rng.uniform(1.0, 9.0, n).round(2)
    season = np.sin(2.0 * np.pi * day.dayofyear.to_numpy() / 365.25)
    sold = rng.poisson(np.exp(3.0 + 0.4 * worth + 0.5 * season - 0.1 * price))
    return pd.DataFrame(
        {
            "day": day.strftime("%Y-%m-%d"),
            "shop": shop,
            "price": price,
            "opened": dates(rng, n, "%Y/%m/%d"),
            "sold": sold + 0.25,
        }
    )


def patients(rng: Generator, n: int) -> pd.DataFrame:
    """Two classes, one of them rare, as 0 and 1."""
    x = rng.normal(size=(n, 4)).round(3)
    ward, worth = levels(rng, "ward", 5, n)
    smoker = rng.random(n) < 0.2
    score = 1.5 * np.sin(2.0 * x[:, 0]) + x[:, 1] + worth + smoker - 2.5
    columns: dict[str, Any] = {f"value {i}": with_gaps(rng, x[:, i], 0.06) for i in range(4)}
    ill = (score + rng.logistic(size=n) > 0).astype(int)
    return pd.DataFrame({**columns, "smoker": smoker.astype(int), "ward": ward, "ill": ill})


def grades(rng: Generator, n: int) -> pd.DataFrame:
    """Three classes of unequal size, with rows grouped by school."""
    school = rng.integers(0, 30, n)
    x = rng.normal(size=(n, 3)).round(3)
    subject, worth = levels(rng, "subject", 8, n)
    skill = x @ [1.0, 0.5, -0.5] + rng.normal(size=30)[school] + worth + rng.normal(size=n)
    return pd.DataFrame(
        {
            "hours": x[:, 0],
            "sleep": x[:, 1],
            "distance": with_gaps(rng, np.exp(x[:, 2]).round(3), 0.1),
            "subject": subject,
            "school": [f"S{code:03d}" for code in school],
            "grade": np.array(["A", "B+", "C"], dtype=object)[np.digitize(-skill, [-1.5, 1.0])],
        }
    )


def sensors(rng: Generator, n: int) -> pd.DataFrame:
    """A number from typed columns: times, booleans, categories, missing cells, a constant."""
    moment = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 90 * 86400, n), unit="s")
    x = rng.normal(size=(n, 3)).astype(np.float32)
    site, worth = levels(rng, "mast", 7, n)
    heated = rng.random(n) < 0.5
    hour = moment.hour.to_numpy() + moment.minute.to_numpy() / 60.0
    load = np.exp(np.cos(hour / 12.0 * np.pi) + 0.5 * worth + 0.5 * heated + 0.3 * x[:, 0])
    return pd.DataFrame(
        {
            "moment": moment,
            "wind": with_gaps(rng, x[:, 0], 0.2),
            "damp": x[:, 1],
            "noise": with_gaps(rng, x[:, 2], 0.5),
            "heated": heated,
            "site": pd.Categorical(site),
            "version": np.full(n, 3, dtype=np.int64),
            "load": load + rng.exponential(0.2, n),
        }
    )


def orders(rng: Generator, n: int) -> pd.DataFrame:
    """Two classes as true and false: dollars, codes with leading zeros, a word for missing."""
    zone = rng.integers(0, 25, n)
    total = rng.lognormal(5.5, 1.2, n)
    items, color_worth = rng.integers(1, 12, n), rng.normal(size=5)
    color = rng.integers(0, 5, n)
    score = np.log(total) - 5.5 + rng.normal(size=25)[zone] + color_worth[color] - 0.1 * items
    return pd.DataFrame(
        {
            "zip": [f"{code:05d}" for code in 397 * zone + 101],
            "total": dollars(total),
            "items": [
                str(k) if u > 0.07 else "?" for k, u in zip(items, rng.random(n), strict=True)
            ],
            "color": np.array(["red", "blue", "green", "grey", "pink"], dtype=object)[color],
            "paid": np.where(score + rng.logistic(size=n) > 0, "true", "false"),
        }
    )
