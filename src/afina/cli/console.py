"""Output to stderr while a command runs: how verbose, in which colors, live or line by line."""

import os
import sys
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from afina.cli.process import is_first_process
from afina.cli.streams import printable


@dataclass(frozen=True)
class Stderr:
    """Standard error, at the verbosity requested on the command line.

    Args:
        console: the rich console that writes; it respects NO_COLOR, FORCE_COLOR and TERM.
        quiet: write nothing.
        verbose: write details too.
        live: stderr is a terminal that can redraw a line.
    """

    console: Console
    quiet: bool
    verbose: bool
    live: bool

    def write(self, text: str = "", style: str = "") -> None:
        """Write one or more lines."""
        if not self.quiet:
            self.console.print(Text(printable(text), style=style), soft_wrap=True)

    def detail(self, text: str) -> None:
        """Write a line that is shown only with `-v`."""
        if self.verbose:
            self.write(text, style="dim")


def open_stderr(*, quiet: bool, verbose: bool) -> Stderr:
    """Return stderr, with color and live output if the environment allows them."""
    quiet = quiet or not is_first_process()
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return Stderr(
        console=Console(stderr=True, highlight=False, emoji=False, markup=False),
        quiet=quiet,
        verbose=verbose and not quiet,
        live=sys.stderr.isatty() and not dumb and not quiet,
    )
