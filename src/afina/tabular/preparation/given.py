"""A table from a file or from Python, in one form.

`take_columns` makes a `Given` from a table that holds all columns, such as a file; `join_arrays`
makes one from features, target, weights and groups passed separately, as they are to an estimator.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table import Kind, encode, infer_schema, is_declared_category
from afina.tabular.preparation.roles import Roles, check_roles
from afina.tabular.preparation.rows import Floats


@dataclass(frozen=True)
class Given:
    """Rows with a target, before afina learns anything from them.

    Args:
        features: the columns that a network may learn from.
        target: the column to predict.
        weights: weight of each row, at least 0. Shape (n_rows,).
        roles: names of target, weights, groups and times for messages.
        source: name of the table for messages.
        groups: rows with the same value stay on one side of a split. None: no groups.
        times: a time for each row; the latest rows are held out. None: rows are drawn at random.
        kinds: kinds of columns that are known from their type.
        has_classes: whether the target is declared as categories.
        score_weights: weights that scores use. None: `weights`.
    """

    features: pa.Table
    target: pa.ChunkedArray
    weights: Floats
    roles: Roles
    source: str
    groups: pa.ChunkedArray | None = None
    times: pa.ChunkedArray | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    has_classes: bool = False
    score_weights: Floats | None = None


def take_columns(table: pa.Table, roles: Roles, source: str, *, held_out: bool = False) -> Given:
    """Separate a table's features from the columns that have another role.

    Args:
        table: from `read_table` or `to_table`.
        roles: column names by role.
        source: the table's name for messages.
        held_out: the rows are not split, so the group and time columns may be absent.

    Raises:
        SchemaError: a column is missing or has two roles, or a weight is not a number of at
            least 0.
    """
    check_roles(table, roles, source, held_out=held_out)
    others = [name for name in roles.no_features if name in table.column_names]
    splits = not held_out
    return Given(
        features=table.drop_columns(others),
        target=table.column(roles.target),
        weights=_read_weights(table, roles.weight, source),
        roles=roles,
        source=source,
        groups=table.column(roles.group) if splits and roles.group is not None else None,
        times=table.column(roles.time) if splits and roles.time is not None else None,
        has_classes=is_declared_category(table.schema.field(roles.target)),
    )


def join_arrays(
    features: pa.Table,
    target: pa.ChunkedArray,
    *,
    roles: Roles,
    source: str,
    weights: Floats | None = None,
    groups: pa.ChunkedArray | None = None,
    kinds: Mapping[str, Kind] | None = None,
) -> Given:
    """Join features with the arrays passed next to them; each has one value per row.

    Raises:
        SchemaError: a weight is not a number of at least 0, or all of them are 0.
    """
    weights = np.ones(features.num_rows) if weights is None else weights
    _check_weights(weights, roles.weight, source)
    return Given(features, target, weights, roles, source, groups, kinds=kinds or {})


def _read_weights(table: pa.Table, name: str | None, source: str) -> Floats:
    """Read a column of weights; without one, each row has weight 1."""
    if name is None:
        return np.ones(table.num_rows)
    alone = table.select([name])
    try:
        schema = infer_schema(alone, kinds={name: "numeric"}, source=source)
        weights = encode(alone, schema, source=source).x_num[:, 0]
    except SchemaError as error:
        raise SchemaError(
            f"{source}: weight {name!r} must be a finite number of at least 0 in every row",
            but=error.but or f"the column holds {error.got}",
            fix="Correct the cell, or choose another column.",
        ) from None
    weights = weights + float(schema.num_columns[0].offset)
    _check_weights(weights, name, source)
    return weights


def _check_weights(weights: NDArray[np.float64], name: str | None, source: str) -> None:
    bad = ~np.isfinite(weights) | (weights < 0)
    if bad.any():
        row = int(np.argmax(bad))
        value = "none" if np.isnan(weights[row]) else f"{weights[row]:g}"
        raise SchemaError(
            f"{source}: weight {name!r} must be a finite number of at least 0 in every row",
            but=f"row {row + 1} has {value}",
            fix="Correct it, or give the row weight 0 to leave it out.",
        )
    if not weights.any():
        raise SchemaError(
            f"{source}: weight {name!r} must be above 0 in at least one row",
            but="every weight is zero",
            fix="Leave the weights out to count each row once.",
        )
