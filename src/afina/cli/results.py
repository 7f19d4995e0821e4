"""What stands at the end of `afina fit` and `afina resume`."""

from afina.cli.console import Voice
from afina.cli.fit_messages import tell_end
from afina.cli.process import is_first_process
from afina.cli.streams import emit, emit_json
from afina.tabular import Outcome


def finish(voice: Voice, outcome: Outcome, *, as_json: bool) -> None:
    """Tell the end, and print the run folder; of several processes, the first alone does.

    Args:
        voice: where to tell.
        outcome: of the fit.
        as_json: print an object with the summary in place of the path.
    """
    if not is_first_process():
        return
    page = outcome.run / "report.html"
    report = page if page.exists() else None  # a note has said why there is none
    tell_end(voice, run=outcome.run, summary=outcome.summary, report=report)
    if as_json:
        run: dict[str, object] = {
            "run": str(outcome.run),
            "report": str(report) if report else None,
        }
        emit_json(run | {"summary": outcome.summary})
    else:
        emit(str(outcome.run))
