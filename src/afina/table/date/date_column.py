"""The record of a column of dates."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

from afina.table.column import Column, Finite
from afina.table.date.date_format import FORMATS, ISO


def _check_format(form: str) -> str:
    if form not in FORMATS:
        raise ValueError(f"a format of dates must be one of {', '.join(FORMATS)}")
    return form


@dataclass(frozen=True)
class DateColumn(Column):
    """A column of dates or instants.

    Args:
        minimum: seconds since 1970 of the earliest date of the training rows; None: there is none.
        maximum: of the latest.
        date_format: how dates are written in text cells: a key of `FORMATS`.
    """

    kind: Literal["datetime"]
    minimum: Finite | None = None
    maximum: Finite | None = None
    date_format: Annotated[str, AfterValidator(_check_format)] = ISO
