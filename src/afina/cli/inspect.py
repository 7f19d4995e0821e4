"""afina inspect: show how a table would be read, without training."""

from typing import Annotated

from afina.cli.options import (
    AsJson,
    ConfigFile,
    Debug,
    Kinds,
    Quiet,
    Settings,
    Table,
    Task,
    Verbose,
    make_config,
    value_option,
)
from afina.cli.streams import emit, emit_json, printable


def inspect(
    table: Table,
    target: Annotated[str | None, value_option("COL", "The column to predict, if known.")] = None,
    task: Task = None,
    kinds: Kinds = None,
    config: ConfigFile = None,
    settings: Settings = None,
    as_json: AsJson = False,
    _quiet: Quiet = False,
    verbose: Verbose = False,
    _debug: Debug = False,
) -> None:
    """Show how each column would be read, and why.

    Nothing is trained. To change how a column is read, use `afina fit --kind COL=KIND`.
    """
    settled = make_config(file=config, settings=settings, kinds=kinds, flags={"table.task": task})

    from afina.tabular import inspect_table

    inspection = inspect_table(table, target=target, config=settled)
    if as_json:
        emit_json(
            {
                "table": str(table),
                "n_rows": inspection.n_rows,
                "target": inspection.target,
                "schema": inspection.schema.to_dict(),
                "notes": list(inspection.notes),
            }
        )
        return

    from afina.cli.formatting import count
    from afina.cli.tables import column_lines

    rows, columns = count(inspection.n_rows, "row"), count(len(inspection.schema.columns), "column")
    lines = [
        f"{table}: {rows}, {columns}",
        *([f"target: {inspection.target}"] if inspection.target else []),
        *column_lines(inspection.schema, whole=verbose),
        *(f"note: {note}" for note in inspection.notes),
    ]
    emit(printable("\n".join(lines)))
