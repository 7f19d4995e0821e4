"""What afina knows of one column, and how it is read back from a file nobody vouches for."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, get_args

from afina.errors import CheckpointError
from afina.table.dates import FORMATS
from afina.table.numbers import NumberFormat, canonical_number

Kind = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignored"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MISSING, UNKNOWN, FIRST_LEVEL = 0, 1, 2
"""Category codes: missing, unknown, and the first of the vocabulary."""


@dataclass(frozen=True)
class Column:
    """What a column holds, and why afina thinks so.

    Args:
        name: as in the table.
        kind: numeric, categorical, boolean, datetime, text or ignored.
        why: one sentence for the reader of `afina inspect`.
        missing_frac: weight of the rows without a value, as a share in [0, 1].
        n_unique: distinct values that are not missing.
        vocabulary: levels of a category that have a code of their own, sorted.
        minimum: smallest number, or seconds since 1970 of the earliest date.
        maximum: largest.
        integer: whether every number is whole.
        number: how numbers stand in text cells.
        date_format: how dates stand in text cells: a key of `dates.FORMATS`.
        offset: whole number taken off exactly, before rounding to float64 can lose a difference.
        missing_words: words that mean "missing" in this column, besides the usual ones.
    """

    name: str
    kind: Kind
    why: str
    missing_frac: float = 0.0
    n_unique: int = 0
    vocabulary: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    integer: bool = False
    number: NumberFormat | None = None
    date_format: str | None = None
    offset: int = 0
    missing_words: tuple[str, ...] = ()

    @cached_property
    def codes(self) -> dict[str, int]:
        """Code by level, letter by letter."""
        return {level: code for code, level in enumerate(self.vocabulary, FIRST_LEVEL)}

    @cached_property
    def number_codes(self) -> dict[str, int]:
        """Code by the canonical text of levels that are numbers, where only one level has it."""
        found: dict[str, int] = {}
        shared: set[str] = set()
        for level, code in self.codes.items():
            number = canonical_number(level)
            if number is not None and found.setdefault(number, code) != code:
                shared.add(number)
        return {number: code for number, code in found.items() if number not in shared}


def read_column(given: object, at: int) -> Column:
    """Read one column of a schema file, checking every value.

    Raises:
        CheckpointError: the field that cannot be, and what came.
    """
    where = f"column {at} of the schema"
    found = check_keys(given, {field.name for field in fields(Column)}, where)
    for field, (holds, wanted) in _FIELDS.items():
        if not holds(found[field]):
            raise wrong_field(where, field, wanted, found[field])
    if found["kind"] == "datetime" and found["date_format"] is None:
        raise wrong_field(where, "date_format", "given for dates", None)
    values = dict(found)
    for field in ("minimum", "maximum"):
        values[field] = None if found[field] is None else float(found[field])
    values["missing_frac"] = float(found["missing_frac"])
    values["vocabulary"] = check_texts(found["vocabulary"], where, "vocabulary")
    values["missing_words"] = check_texts(found["missing_words"], where, "missing_words")
    values["number"] = _number_format(found["number"], where)
    if found["kind"] == "numeric" and values["number"] is None:
        raise wrong_field(where, "number", "given for numbers", None)
    return Column(**values)


def _number_format(given: object, where: str) -> NumberFormat | None:
    if given is None:
        return None
    found = check_keys(given, {field.name for field in fields(NumberFormat)}, f"number of {where}")
    for field, value in found.items():
        if not isinstance(value, str) or len(value) > 8:
            raise wrong_field(where, f"number.{field}", "short text", value)
    if found["decimal"] not in (".", ",") or found["thousands"] not in ("", ".", ",", " ", "'"):
        raise wrong_field(where, "number", "known marks", found)
    if found["decimal"] == found["thousands"]:
        raise wrong_field(where, "number", "two different marks", found)
    return NumberFormat(**found)


def check_keys(given: object, wanted: set[str], where: str) -> Mapping[str, Any]:
    """Take a mapping with exactly the wanted keys, or raise a CheckpointError."""
    if not isinstance(given, dict) or set(given) != wanted:
        keys = sorted(map(str, given)) if isinstance(given, dict) else type(given).__name__
        raise CheckpointError(
            f"{where} must have the keys {sorted(wanted)}, however: {str(keys)[:200]} came. "
            "The file is damaged or of another version of afina."
        )
    return given


def check_texts(given: object, where: str, field: str) -> tuple[str, ...]:
    """Take a list of texts that differ, or raise a CheckpointError."""
    if not isinstance(given, list) or not all(_is_text(text) for text in given):
        raise wrong_field(where, field, "a list of texts", given)
    if len(set(given)) != len(given):
        raise wrong_field(where, field, "texts that differ", given)
    return tuple(given)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 2**1023 if isinstance(value, int) else math.isfinite(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in value)  # no UTF-8 for these


def wrong_field(where: str, field: str, wanted: str, came: object) -> CheckpointError:
    """Make the error for a field with an impossible value."""
    return CheckpointError(
        f"{field} of {where} must be {wanted}, however: {str(came)[:80]!r} came. "
        "The file is damaged or of another version of afina."
    )


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_text, "text"),
    "kind": (lambda given: given in KINDS, f"one of {', '.join(KINDS)}"),
    "why": (_is_text, "text"),
    "missing_frac": (lambda given: _is_number(given) and 0 <= given <= 1, "a share in [0, 1]"),
    "n_unique": (lambda given: _is_whole(given) and given >= 0, "a count"),
    "minimum": (lambda given: given is None or _is_number(given), "a finite number or null"),
    "maximum": (lambda given: given is None or _is_number(given), "a finite number or null"),
    "integer": (lambda given: isinstance(given, bool), "true or false"),
    "offset": (_is_whole, "a whole number of 64 bits"),
    "date_format": (
        lambda given: given is None or given in tuple(FORMATS),
        f"null or one of {', '.join(FORMATS)}",
    ),
}
