"""Prepare rows for the peers: numbers, dates as numbers, categories learned from training rows."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

DATE = r"\d{4}-\d{2}-\d{2}"


@dataclass(frozen=True)
class PeerFrame:
    """How each column of a table is passed to a peer, learned from the training rows.

    Args:
        numbers: columns of numbers or booleans.
        dates: columns of dates, or of text that is all dates; they become days since 1970.
        levels: the categories of each other column, the most frequent first.
    """

    numbers: tuple[str, ...]
    dates: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]

    @classmethod
    def fit(cls, x: pd.DataFrame, max_levels: int | None = None) -> Self:
        """Learn kinds and categories; keep the `max_levels` most frequent levels of a column."""
        numbers = [name for name in x if pd.api.types.is_numeric_dtype(x[name])]
        others = [name for name in x if name not in numbers]
        dates = [name for name in others if is_date(x[name])]
        levels = {
            name: tuple(as_text(x[name]).value_counts().index[:max_levels])
            for name in others
            if name not in dates
        }
        return cls(tuple(numbers), tuple(dates), levels)

    def number_columns(self, x: pd.DataFrame) -> pd.DataFrame:
        """Return numbers and dates as float64; missing values are NaN."""
        columns = {name: x[name].astype(float) for name in self.numbers}
        columns |= {name: days(x[name]) for name in self.dates}
        return renamed(pd.DataFrame(columns, index=x.index))

    def categories(self, x: pd.DataFrame) -> pd.DataFrame:
        """Return all columns, text as pandas categories; unknown levels become missing."""
        text = {
            name: pd.Categorical(known_levels(x[name], levels), categories=list(levels))
            for name, levels in self.levels.items()
        }
        return joined(self.number_columns(x), text)

    def text(self, x: pd.DataFrame) -> pd.DataFrame:
        """Return all columns, text as strings; missing values become a separate level."""
        text = {name: as_text(x[name]).fillna("(missing)").to_numpy() for name in self.levels}
        return joined(self.number_columns(x), text)


def joined(numbers: pd.DataFrame, text: dict[str, object]) -> pd.DataFrame:
    """Append text columns to the numbers, under names that every peer accepts."""
    columns = {f"cat{j}": column for j, column in enumerate(text.values())}
    return pd.concat([numbers, pd.DataFrame(columns, index=numbers.index)], axis=1)


def renamed(frame: pd.DataFrame) -> pd.DataFrame:
    """Number the columns: LightGBM rejects names with brackets, XGBoost names with `<`."""
    return frame.set_axis([f"num{j}" for j in range(frame.shape[1])], axis=1)


def as_text(column: pd.Series) -> pd.Series:
    """Return strings and None."""
    return column.astype("string").astype(object).where(column.notna(), None)


def known_levels(column: pd.Series, levels: tuple[str, ...]) -> pd.Series:
    """Return strings, with None for levels that are not known."""
    text = as_text(column)
    return text.where(text.isin(levels), None)


def is_date(column: pd.Series) -> bool:
    """Return whether every value is a date such as 2013-01-31."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    known = column.dropna()
    return len(known) > 0 and bool(known.astype("string").str.fullmatch(DATE).all())


def days(column: pd.Series) -> pd.Series:
    """Return days since 1970; anything but a date becomes missing."""
    stamps = pd.to_datetime(column, errors="coerce")
    return (stamps - pd.Timestamp(1970, 1, 1)) / np.timedelta64(1, "D")
