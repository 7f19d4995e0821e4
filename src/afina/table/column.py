"""The fields that all column records share, and checked types for fields read from a file.

Each kind of column adds its own fields: see `numeric`, `category` and `date`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field, Strict

Kind: TypeAlias = Literal["numeric", "categorical", "boolean", "datetime", "text", "ignored"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def _check_utf8(text: str) -> str:
    text.encode()  # raises a ValueError for a lone surrogate, which no file can hold
    return text


def _check_distinct(texts: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(texts)) != len(texts):
        raise ValueError("the values must differ")
    return texts


Text = Annotated[str, AfterValidator(_check_utf8)]
Texts = Annotated[tuple[Text, ...], AfterValidator(_check_distinct)]
Finite = Annotated[float, Strict(), Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Column:
    """The kind of a column, and why afina chose it.

    Args:
        name: name of the column in the table.
        kind: numeric, categorical, boolean, datetime, text or ignored.
        why: the reason for the kind, in one sentence; `afina inspect` shows it.
        missing_frac: share of rows without a value, by weight, in [0, 1].
        n_unique: number of distinct values that are not missing.
    """

    name: Text
    kind: Kind
    why: Text
    missing_frac: Annotated[float, Strict(), Field(ge=0, le=1)] = 0.0
    n_unique: Annotated[int, Strict(), Field(ge=0)] = 0


@dataclass(frozen=True)
class UnusedColumn(Column):
    """A column that the network does not see: it holds free text, or nothing to learn from."""

    kind: Literal["text", "ignored"]
