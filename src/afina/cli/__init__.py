"""The command line: parse, call, print. Nothing heavy is imported before a command runs."""

from afina.cli.main import run_command_line

__all__ = ["run_command_line"]
