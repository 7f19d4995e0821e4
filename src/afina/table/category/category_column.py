"""The record of a column of categories or booleans."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from afina.table.column import Column, Texts
from afina.table.numeric import canonical_number

MISSING, UNKNOWN, FIRST_LEVEL = 0, 1, 2
"""Category codes: missing, unknown, and the first of the vocabulary."""

BOOLEANS = ("false", "true")
"""The vocabulary of a column of booleans."""


@dataclass(frozen=True)
class CategoryColumn(Column):
    """A column of categories or booleans.

    Args:
        vocabulary: the levels with a code of their own, sorted.
    """

    kind: Literal["categorical", "boolean"]
    vocabulary: Texts = ()

    @cached_property
    def codes(self) -> dict[str, int]:
        """Code by level, each exactly as written."""
        return {level: code for code, level in enumerate(self.vocabulary, FIRST_LEVEL)}

    @cached_property
    def number_codes(self) -> dict[str, int]:
        """Code by the canonical text of levels that are numbers, if only one level has it."""
        by_number: dict[str, int] = {}
        shared: set[str] = set()
        for level, code in self.codes.items():
            number = canonical_number(level)
            if number is not None and by_number.setdefault(number, code) != code:
                shared.add(number)
        return {number: code for number, code in by_number.items() if number not in shared}
