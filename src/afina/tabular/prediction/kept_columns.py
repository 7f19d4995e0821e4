"""Columns of a table to predict that are returned beside the predictions."""

from collections.abc import Sequence

import pyarrow as pa

from afina.errors import SchemaError
from afina.table import did_you_mean, list_names


def take_kept(
    table: pa.Table, keep: Sequence[str], outputs: Sequence[str], source: str
) -> dict[str, pa.ChunkedArray]:
    """Return columns to keep, by name, in the order requested.

    Args:
        table: the table to predict.
        keep: names of columns; a repeated one counts once.
        outputs: names of the columns of predictions.
        source: the table's name in messages.

    Raises:
        SchemaError: a column is not in the table, or has the name of a column of predictions.
    """
    for name in keep:
        if name not in table.column_names:
            near = did_you_mean(name, table.column_names).strip()
            raise SchemaError(
                f"{source}: a column to keep must be in the table",
                but=f"there is no column {name!r}",
                fix=near or f"The columns are {list_names(table.column_names)}.",
            )
        if name in outputs:
            raise SchemaError(
                f"{source}: a column to keep must not have the name of a column of predictions",
                but=f"{name!r} is one of them",
                fix="Rename the column in the table, or do not keep it.",
            )
    return {name: table.column(name) for name in keep}
