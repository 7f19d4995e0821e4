"""How loud, and in which colors."""

import io
import sys

import pytest

from afina.cli.console import open_stderr


class Terminal(io.StringIO):
    """Memory that passes for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "environment", "colored", "live"),
    [
        (True, {"TERM": "xterm"}, True, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False, True),
        (True, {"TERM": "dumb"}, False, False),
        (False, {"TERM": "xterm"}, False, False),
        (False, {"TERM": "xterm", "FORCE_COLOR": "1"}, True, False),
    ],
)
def test_environment(
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    environment: dict[str, str],
    colored: bool,
    live: bool,
) -> None:
    """NO_COLOR, FORCE_COLOR, TERM and whether stderr is a terminal decide what is written."""
    for name in ["NO_COLOR", "FORCE_COLOR", "TERM", "COLORTERM", "TTY_COMPATIBLE"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    stderr = open_stderr(quiet=False, verbose=False)
    stderr.write("[red]text[/red] :smile:", style="red")

    text = stream.getvalue()
    assert live == stderr.live
    assert colored == ("\x1b[31m" in text)
    assert "[red]text[/red] :smile:" in text


def test_long_lines_are_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path longer than the terminal is wide stays in one piece, so that it can be copied."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)

    open_stderr(quiet=False, verbose=False).write("word " * 100)

    assert stream.getvalue().count("\n") == 1


def test_details(monkeypatch: pytest.MonkeyPatch) -> None:
    """Details are shown with -v only, and nothing with -q."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    open_stderr(quiet=False, verbose=False).detail("detail")
    open_stderr(quiet=True, verbose=False).write("word")

    assert stream.getvalue() == ""
