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
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="The page to write; by default report.html in the run folder.",
        ),
    ] = None,
    _quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Write a page about a run, to open in a browser.

    It shows curves and scores, and needs no network. Prints the page's path.
    """
    from afina.report import write_report

    emit(str(write_report(run, out)))
