"""The schema: what afina knows about a table's columns, and what later tables must fit."""

from collections import Counter
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Discriminator, TypeAdapter, ValidationError

from afina.errors import CheckpointError
from afina.table.category import CategoryColumn
from afina.table.column import Column, Texts, UnusedColumn
from afina.table.date import DateColumn
from afina.table.numeric import NumberColumn

AnyColumn: TypeAlias = Annotated[
    NumberColumn | CategoryColumn | DateColumn | UnusedColumn, Discriminator("kind")
]
"""A column of any kind; `kind` says which."""


def _check_names(columns: tuple[AnyColumn, ...]) -> tuple[AnyColumn, ...]:
    if len({column.name for column in columns}) != len(columns):
        raise ValueError("column names must differ")
    return columns


@dataclass(frozen=True)
class Schema:
    """The columns that a model learned from, in table order; the content of schema.json.

    Args:
        columns: the record of each column; names are unique.
        missing_values: words that mean "missing" in every column.
    """

    columns: Annotated[tuple[AnyColumn, ...], AfterValidator(_check_names)]
    missing_values: Texts = ()

    def __repr__(self) -> str:
        counts = Counter(column.kind for column in self.columns)
        kinds = ", ".join(f"{n} {kind}" for kind, n in counts.items())
        return f"Schema({len(self.columns)} columns: {kinds})"

    @cached_property
    def num_columns(self) -> tuple[NumberColumn, ...]:
        """Numeric columns, in the order of `x_num`."""
        return tuple(column for column in self.columns if isinstance(column, NumberColumn))

    @cached_property
    def cat_columns(self) -> tuple[CategoryColumn, ...]:
        """Categorical and boolean columns, in the order of `x_cat`."""
        return tuple(column for column in self.columns if isinstance(column, CategoryColumn))

    @cached_property
    def time_columns(self) -> tuple[DateColumn, ...]:
        """Columns of dates, in the order of `x_time`."""
        return tuple(column for column in self.columns if isinstance(column, DateColumn))

    @property
    def num_names(self) -> tuple[str, ...]:
        """Names of the columns of `x_num`."""
        return tuple(column.name for column in self.num_columns)

    @property
    def cat_names(self) -> tuple[str, ...]:
        """Names of the columns of `x_cat`."""
        return tuple(column.name for column in self.cat_columns)

    @property
    def time_names(self) -> tuple[str, ...]:
        """Names of the columns of `x_time`."""
        return tuple(column.name for column in self.time_columns)

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of all columns, including ignored ones."""
        return frozenset(column.name for column in self.columns)

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain values, for JSON."""
        plain: dict[str, Any] = _adapter().dump_python(self, mode="json")
        shared = [field.name for field in fields(Column)]
        plain["columns"] = [
            {**dict.fromkeys(shared), **_unused_fields(), **column} for column in plain["columns"]
        ]
        return plain

    @staticmethod
    def from_dict(content: object, source: str = "schema.json") -> "Schema":
        """Read what `to_dict` returned, and check every value.

        Args:
            content: parsed JSON.
            source: the file's name for messages.

        Raises:
            CheckpointError: a value is invalid; the message names the column and the key.
        """
        try:
            schema = _adapter().validate_python(content)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
            raise _damaged(source, _place(fault["loc"]), fault["msg"]) from None
        if difference := _first_difference(schema.to_dict(), content):
            raise _damaged(source, difference, "keys or values that its kind does not have")
        return schema


@cache
def _adapter() -> TypeAdapter[Schema]:
    return TypeAdapter(Schema)


def _unused_fields() -> dict[str, Any]:
    """Return the values that schema.json holds for fields that a column's kind does not have."""
    return {
        "vocabulary": [],
        "minimum": None,
        "maximum": None,
        "integer": False,
        "number": None,
        "date_format": None,
        "offset": 0,
        "missing_words": [],
    }


def _place(location: tuple[int | str, ...]) -> str:
    """Return the name of a key in the file, such as `offset of column 3`."""
    if len(location) < 2 or location[0] != "columns":
        return ".".join(map(str, location)) or "the file"
    key = ".".join(map(str, location[3:])) or "kind"  # location[2] is the kind
    return f"{key} of column {int(location[1]) + 1}"


def _first_difference(written: dict[str, Any], content: Any) -> str:
    """List the keys whose values afina would write differently; empty if there are none."""
    for number, (ours, theirs) in enumerate(
        zip(written["columns"], content["columns"], strict=True), 1
    ):
        if ours != theirs:
            keys = sorted(key for key in ours.keys() | theirs if ours.get(key) != theirs.get(key))
            return f"{', '.join(keys) or 'the keys'} of column {number}"
    return "" if written == content else f"the keys {', '.join(sorted(content))}"


def _damaged(source: str, place: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{source} must be a schema written by afina",
        but=f"{place[:200]} is invalid: {reason[:200]}",
        fix="The file is damaged or from another version of afina.",
    )
