"""afina report: write one page about a run."""

from pathlib import Path
from typing import Annotated

from afina.cli.options import Debug, Quiet, Run, value_option
from afina.cli.streams import emit


def report(
    run: Run,
    out: Annotated[
        Path | None,
        value_option("FILE", "The page to write. Default: report.html in the run folder."),
    ] = None,
    _quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Write a report on a run: one page to open in a browser.

    The page shows curves and scores, and opens offline. Prints the path of the page.
    """
    from afina.report import write_report

    emit(str(write_report(run, out)))
