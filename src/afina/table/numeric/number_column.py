"""The record of a column of numbers."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, Strict

from afina.table.column import Column, Finite, Texts
from afina.table.numeric.number_format import PLAIN, NumberFormat


@dataclass(frozen=True)
class NumberColumn(Column):
    """A column of numbers.

    Args:
        minimum: smallest number of the training rows; None: there is none.
        maximum: largest.
        integer: whether every number is whole.
        number: how numbers are written in text cells.
        offset: whole number that is subtracted exactly, before rounding to float64 can lose a
            difference.
        missing_words: words that mean "missing" in this column, besides the usual ones.
    """

    kind: Literal["numeric"]
    minimum: Finite | None = None
    maximum: Finite | None = None
    integer: Annotated[bool, Strict()] = False
    number: NumberFormat = PLAIN
    offset: Annotated[int, Strict(), Field(ge=-(2**63), lt=2**63)] = 0
    missing_words: Texts = ()
