"""`inspect_table`: find out how the columns of a table would be read, without training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from afina.config import Config
from afina.data import BUNDLED_TARGET, bundled_table
from afina.table import Schema, infer_schema, read_table, table_name
from afina.tabular.preparation.given import take_columns
from afina.tabular.preparation.prepare import prepare
from afina.tabular.preparation.roles import choose_roles


@dataclass(frozen=True)
class Inspection:
    """How the columns of a table would be read.

    Args:
        schema: each column's kind, and why.
        target: the target column. None: no target was named.
        n_rows: number of rows of the table.
        notes: sentences about choices that users might not expect.
    """

    schema: Schema
    target: str | None
    n_rows: int
    notes: tuple[str, ...]


def inspect_table(
    path: Path | None, *, target: str | None = None, config: Config | None = None
) -> Inspection:
    """Learn a table's schema as a fit would, without training.

    With a target, the schema is learned from the rows that a fit would train on; without one, from
    all rows.

    Raises:
        TableError: the file cannot be read as a table.
        SchemaError: the table does not fit the settings.
    """
    config = config or Config()
    if path is None:
        path, target = bundled_table(), target or BUNDLED_TARGET
    table = read_table(path, delimiter=config.table.delimiter, encoding=config.table.encoding)
    if target is not None:
        roles = choose_roles(target, config.table)
        prepared = prepare(take_columns(table, roles, table_name(path)), None, config)
        values = f"{len(prepared.classes)} classes" if prepared.classes else "numbers"
        notes = (f"the target is {prepared.task}: {values}", prepared.sides.how, *prepared.notes)
        return Inspection(prepared.schema, target, table.num_rows, notes)
    schema_notes: list[str] = []
    schema = infer_schema(
        table,
        rows=np.arange(table.num_rows),
        kinds=config.table.kinds,
        missing_values=config.table.missing_values,
        min_count=config.preprocess.min_count,
        source=table_name(path),
        notes=schema_notes,
    )
    return Inspection(schema, None, table.num_rows, tuple(schema_notes))
