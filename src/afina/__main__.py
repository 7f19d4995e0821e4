"""The entry point of the command line: `afina` and `python -m afina`."""

import sys

from afina.cli import run_command_line
from afina.cli.process import process_start
from afina.cli.streams import open_closed_streams


def run() -> None:
    """Run one command and exit with its exit code."""
    open_closed_streams()
    sys.exit(run_command_line(sys.argv[1:], started=process_start()))


if __name__ == "__main__":
    run()
