"""afina report: one page about a run."""

from pathlib import Path
from typing import Annotated

import typer

from afina.cli.options import Debug, Quiet, Run
from afina.cli.streams import emit


def report(
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Else report.html in the run."),
    ] = None,
    quiet: Quiet = False,  # noqa: ARG001 - notes are silenced by whoever shows them
    debug: Debug = False,  # noqa: ARG001 - looked for by whoever tells errors
) -> None:
    """Write a page about a run, to open in a browser.

    It shows the curves and the scores, and needs no network. Prints the page's path.
    """
    from afina.report import write_report

    emit(str(write_report(run, out)))
