"""What stands at the end of `afina fit` and `afina resume`."""

from pathlib import Path

from afina.cli.story import tell_end
from afina.cli.streams import emit, emit_json, show_note
from afina.cli.voice import Voice
from afina.errors import AfinaError
from afina.report import write_report
from afina.tabular import Outcome


def finish(voice: Voice, outcome: Outcome, *, table: Path | None, as_json: bool) -> None:
    """Write the report, tell the end, and print the run folder.

    Args:
        voice: where to tell.
        outcome: of the fit.
        table: a table to show the next commands with.
        as_json: print an object with the summary in place of the path.
    """
    report = _try_report(outcome.run)
    tell_end(voice, run=outcome.run, summary=outcome.summary, report=report, table=table)
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


def _try_report(run: Path) -> Path | None:
    """Write the report; the model is safe by now, so a failure is no more than a note."""
    try:
        return write_report(run)
    except (AfinaError, OSError) as error:
        show_note(f"The report could not be written: {error}")
        return None
