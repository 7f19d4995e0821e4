"""afina resume: go on with an interrupted run."""

from pathlib import Path

from afina.cli.options import AsJson, Debug, Quiet, Run, Verbose, check_loudness


def resume(
    run: Run,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,  # noqa: ARG001 - looked for by whoever tells errors
) -> None:
    """Go on with an interrupted run.

    It starts from the newest whole checkpoint. The model comes out as if the run had never been interrupted. Prints the run folder's path.
    """
    check_loudness(quiet=quiet, verbose=verbose)

    from afina.cli.console import open_voice
    from afina.cli.fit_messages import Story
    from afina.cli.results import finish
    from afina.tabular import resume_run

    voice = open_voice(quiet=quiet, verbose=verbose)
    with Story(voice, monitor=_monitor(run)) as story:
        outcome = resume_run(run, listen=story)
    finish(voice, outcome, as_json=as_json)


def _monitor(run: Path) -> str:
    """Read which metric decides; whatever is wrong with the run is told by who resumes it."""
    from afina.config import read_config
    from afina.errors import ConfigError

    try:
        return read_config(run / "config.toml").stop.monitor
    except ConfigError:
        return "val/loss"
