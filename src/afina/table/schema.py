"""What afina knows of a table's columns: the contract that later tables must meet."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from afina.table.column import (
    FIRST_LEVEL,
    Column,
    check_keys,
    check_texts,
    read_column,
    wrong_field,
)


@dataclass(frozen=True)
class Schema:
    """The columns that a model learned from, in table order.

    Args:
        columns: each with a name of its own.
        missing_values: words that mean "missing" in every column.
    """

    columns: tuple[Column, ...]
    missing_values: tuple[str, ...] = ()

    @cached_property
    def num_columns(self) -> tuple[Column, ...]:
        """Numeric columns, in the order of `x_num`."""
        return tuple(column for column in self.columns if column.kind == "numeric")

    @cached_property
    def cat_columns(self) -> tuple[Column, ...]:
        """Categorical and boolean columns, in the order of `x_cat`."""
        return tuple(column for column in self.columns if column.kind in ("categorical", "boolean"))

    @cached_property
    def time_columns(self) -> tuple[Column, ...]:
        """Columns of dates, in the order of `x_time`."""
        return tuple(column for column in self.columns if column.kind == "datetime")

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

    @property
    def cat_cardinalities(self) -> tuple[int, ...]:
        """Number of codes of each column of `x_cat`: the vocabulary, missing and unknown."""
        return tuple(len(column.vocabulary) + FIRST_LEVEL for column in self.cat_columns)

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of all columns, ignored ones too."""
        return frozenset(column.name for column in self.columns)

    def to_dict(self) -> dict[str, Any]:
        """Write the schema as plain values, for JSON."""
        columns = [
            {
                **asdict(column),
                "vocabulary": list(column.vocabulary),
                "missing_words": list(column.missing_words),
            }
            for column in self.columns
        ]
        return {"columns": columns, "missing_values": list(self.missing_values)}

    @staticmethod
    def from_dict(given: object) -> "Schema":
        """Read what `to_dict` wrote, and check every value of it.

        Raises:
            CheckpointError: the column and field that cannot be.
        """
        found = check_keys(given, {"columns", "missing_values"}, "the schema")
        if not isinstance(found["columns"], list):
            raise wrong_field("the schema", "columns", "a list", found["columns"])
        columns = tuple(read_column(one, at) for at, one in enumerate(found["columns"], 1))
        if len({column.name for column in columns}) != len(columns):
            raise wrong_field("the schema", "columns", "names that differ", "one twice")
        return Schema(columns, check_texts(found["missing_values"], "the schema", "missing_values"))
