"""afina resume: continue an interrupted run."""

from contextlib import closing
from pathlib import Path

import typer

from afina.cli.options import AsJson, Debug, Quiet, Run, Switches, Verbose, check_loudness


def resume(
    context: typer.Context,
    run: Run,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    _debug: Debug = False,
) -> None:
    """Continue an interrupted run.

    Training continues from the newest complete checkpoint, and the final model is the same as if
    the run had never been interrupted. Prints the path of the run folder.
    """
    check_loudness(quiet=quiet, verbose=verbose)

    from afina.cli.console import open_stderr
    from afina.cli.fit_messages import FitMessages
    from afina.cli.results import finish
    from afina.tabular import resume_run

    stderr = open_stderr(quiet=quiet, verbose=verbose)
    with closing(FitMessages(stderr, monitor=_monitor(run))) as messages:
        started = context.ensure_object(Switches).started
        outcome = resume_run(run, listen=messages, started=started)
    finish(stderr, outcome, as_json=as_json, started=started)


def _monitor(run: Path) -> str:
    """Return the metric that decides which epoch is best; leave errors to `resume_run`."""
    from afina.config import read_config
    from afina.errors import ConfigError

    try:
        return read_config(run / "config.toml").stop.watched
    except ConfigError:
        return "val/loss"
