"""afina inspect: what a table would be taken as, before anything is trained."""

from typing import Annotated

import typer

from afina.cli.options import (
    AsJson,
    ConfigFile,
    Debug,
    Kinds,
    Quiet,
    Settings,
    Table,
    Verbose,
    make_config,
)
from afina.cli.streams import emit, emit_json, printable


def inspect(
    table: Table,
    target: Annotated[
        str | None,
        typer.Option(metavar="COL", show_default=False, help="The column to predict, if known."),
    ] = None,
    kinds: Kinds = None,
    config: ConfigFile = None,
    settings: Settings = None,
    as_json: AsJson = False,
    quiet: Quiet = False,  # noqa: ARG001 - notes are silenced by whoever shows them
    verbose: Verbose = False,
    debug: Debug = False,  # noqa: ARG001 - looked for by whoever tells errors
) -> None:
    """Show what each column would be taken as, and why.

    Nothing is trained. Where it is wrong, `afina fit --kind COL=KIND` puts it right.
    """
    asked = make_config(file=config, settings=settings, kinds=kinds, flags={})

    from afina.tabular import inspect_table

    found = inspect_table(table, target=target, config=asked)
    if as_json:
        emit_json(
            {
                "table": str(table),
                "n_rows": found.n_rows,
                "target": found.target,
                "schema": found.schema.to_dict(),
                "notes": list(found.notes),
            }
        )
        return

    from afina.cli.formatting import count
    from afina.cli.tables import column_lines

    rows, columns = count(found.n_rows, "row"), count(len(found.schema.columns), "column")
    lines = [f"{table}: {rows}, {columns}"]
    lines += [f"target: {found.target}"] if found.target else []
    lines += column_lines(found.schema, whole=verbose)
    lines += [f"note: {note}" for note in found.notes]
    emit(printable("\n".join(lines)))
