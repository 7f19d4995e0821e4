"""All commands, and what surrounds each of them: signals, notes, errors, the exit code."""

import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, TextIO

import typer

from afina import __version__
from afina.cli.evaluate import evaluate
from afina.cli.exits import report_error
from afina.cli.fit import fit
from afina.cli.inspect import inspect
from afina.cli.options import Switches
from afina.cli.predict import predict
from afina.cli.process import is_first_process
from afina.cli.report import report
from afina.cli.resume import resume
from afina.cli.streams import emit, show_note
from afina.errors import AfinaWarning, Interrupted

app = typer.Typer(
    name="afina",
    help="Train a neural network on a table, and predict with it.",
    epilog="Start with `afina fit`, which trains on a small table that comes with afina.",
    rich_markup_mode=None,  # plain help: quick, the same everywhere, and easy to turn into a page
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(fit)
app.command()(predict)
app.command()(evaluate)
app.command()(inspect)
app.command()(report)
app.command()(resume)


def _show_version(value: bool) -> None:
    if value:
        emit(f"afina {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        emit(context.get_help())


def run_command_line(arguments: Sequence[str], *, started: float | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `afina`.
        started: `time.monotonic()` from which time limits count. None: now.

    Returns:
        The exit code; docs/reference/cli.md lists them.
    """
    if "_AFINA_COMPLETE" in os.environ:  # a shell asks for completions
        app(list(arguments))
    for stream in (sys.stdout, sys.stdin):
        # Data is UTF-8 wherever it goes; bytes of a path that are not UTF-8 come out unchanged.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    command = typer.main.get_command(app)
    switches = Switches(quiet=not is_first_process())
    switches.started = switches.started if started is None else started
    try:
        with _termination(), _notes(switches):
            with command.make_context("afina", list(arguments), obj=switches) as context:
                command.invoke(context)
            sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - every error ends here, as a message
        return report_error(error, debug=switches.debug)
    return 0


@contextmanager
def _termination() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that a half-written file is removed."""

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        raise Interrupted("SIGTERM arrived before the command finished.", signum)

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _notes(switches: Switches) -> Iterator[None]:
    """Print each of afina's warnings once, as a note; hide the warnings of other libraries."""
    seen: set[str] = set()

    def on_warning(
        message: Warning | str,
        category: type[Warning],
        filename: str,  # noqa: ARG001 - the interface of warnings.showwarning
        lineno: int,  # noqa: ARG001 - as above
        file: TextIO | None = None,  # noqa: ARG001 - as above
        line: str | None = None,  # noqa: ARG001 - as above
    ) -> None:
        if switches.quiet or not issubclass(category, AfinaWarning) or str(message) in seen:
            return
        seen.add(str(message))
        show_note(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", AfinaWarning)
        warnings.showwarning = on_warning
        yield
