"""The end of `afina fit` and `afina resume`."""

from afina.cli.console import Stderr
from afina.cli.fit_messages import print_end
from afina.cli.process import is_first_process
from afina.cli.streams import emit, emit_json
from afina.tabular import Outcome


def finish(
    stderr: Stderr, outcome: Outcome, *, as_json: bool, started: float | None = None
) -> None:
    """Print the result and the run folder; if there are several processes, only the first prints.

    Args:
        stderr: where the result goes.
        outcome: the result of the fit.
        as_json: print the summary as one JSON object instead of the path.
        started: `time.monotonic()` when the command started. None: show the fit's own duration.
    """
    if not is_first_process():
        return
    page = outcome.run / "report.html"
    report = page if page.exists() else None  # otherwise a note has said why
    print_end(stderr, run=outcome.run, summary=outcome.summary, report=report, started=started)
    if as_json:
        emit_json(
            {
                "run": str(outcome.run),
                "report": str(report) if report else None,
                "summary": outcome.summary,
            }
        )
    else:
        emit(str(outcome.run))
