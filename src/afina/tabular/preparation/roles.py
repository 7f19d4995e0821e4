"""Columns that are no features: the target, and those of weight, group and time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from afina.config import TableConfig
from afina.errors import SchemaError
from afina.table import did_you_mean, encode, infer_schema

# The longest list of column names in a message.
_MOST_NAMES = 12


@dataclass(frozen=True)
class Roles:
    """Which column has which part.

    Args:
        target: what is predicted.
        weight: what each row counts; no feature.
        group: rows of equal value stay on one side of the split; no feature.
        time: the latest rows validate; a feature like any other.
    """

    target: str
    weight: str | None = None
    group: str | None = None
    time: str | None = None

    @property
    def no_features(self) -> tuple[str, ...]:
        """Columns that the network does not see."""
        return tuple(name for name in (self.target, self.weight, self.group) if name is not None)


def find_roles(table: pa.Table, target: str, config: TableConfig, source: str) -> Roles:
    """Make sure that every column with a part is there, and that no column has two.

    Raises:
        SchemaError: a column that is not there (the nearest name is suggested), or has two parts.
    """
    roles = Roles(target, config.weight, config.group, config.time)
    given = {"target": target, "weight": roles.weight, "group": roles.group, "time": roles.time}
    seen: dict[str, str] = {}
    for role, name in given.items():
        if name is None:
            continue
        check_there(table, name, role, source)
        if name in seen:
            raise SchemaError(
                f"{source}: a column must have one part, however: {name!r} is named as "
                f"{seen[name]} and as {role}. Name another column for one of them."
            )
        seen[name] = role
    return roles


def check_there(table: pa.Table, name: str, role: str, source: str) -> None:
    """Raise a SchemaError with the nearest name if a column is not there."""
    if name in table.column_names:
        return
    names = table.column_names
    hint = did_you_mean(name, names)
    if not hint:
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        hint = f" The columns are {', '.join(map(repr, names[:_MOST_NAMES]))}{more}."
    raise SchemaError(
        f"{source}: the {role} column must be in the table, however: there is no column "
        f"{name!r}.{hint}"
    )


def read_weights(table: pa.Table, name: str | None, source: str) -> NDArray[np.float64]:
    """Read what each row counts; 1 without a weight column.

    Raises:
        SchemaError: a weight that is no number, missing, infinite or below 0; or all are 0.
    """
    if name is None:
        return np.ones(table.num_rows)
    alone = table.select([name])
    try:
        schema = infer_schema(alone, kinds={name: "numeric"}, source=source)
        weights = encode(alone, schema, source=source).x_num[:, 0]
    except SchemaError as error:
        what = str(error).split(". ")[0].removeprefix(f"{source}: ")
        raise SchemaError(
            f"{source}: weight {name!r} must hold a number in every row, however: {what}. "
            "Correct the cell, or choose another column."
        ) from None
    weights = weights + float(schema.num_columns[0].offset)
    bad = ~np.isfinite(weights) | (weights < 0)
    if bad.any():
        row = int(np.argmax(bad))
        came = "has none" if np.isnan(weights[row]) else f"has {weights[row]:g}"
        raise SchemaError(
            f"{source}: weight {name!r} must be at least 0 in every row, however: row {row + 1} "
            f"{came}. Correct it, or give it weight 0 to leave the row out."
        )
    if not weights.any():
        raise SchemaError(f"{source}: weight {name!r} must be above 0 somewhere, however: it is 0.")
    return weights


def without_unweighted(column: pa.ChunkedArray, weights: NDArray[np.float64]) -> pa.ChunkedArray:
    """Take the target out of rows of weight 0, so that they do not even make a class."""
    if (weights > 0).all():
        return column
    return pc.if_else(pa.array(weights > 0), column, pa.scalar(None, column.type))
