"""Errors become a message and an exit code."""

import errno
import subprocess
import sys

import pytest

from afina.cli.exits import report_error
from afina.errors import (
    CheckpointError,
    ConfigError,
    Interrupted,
    LockedError,
    NonFiniteError,
    PeerError,
    SchemaError,
    StorageError,
    TableError,
)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigError("Wrong."), 2, "error: Wrong.\n"),
        (TableError("Wrong."), 3, "error: Wrong.\n"),
        (SchemaError("Wrong."), 3, "error: Wrong.\n"),
        (CheckpointError("Wrong."), 4, "error: Wrong.\n"),
        (StorageError("Wrong."), 5, "error: Wrong.\n"),
        (LockedError("Wrong."), 6, "error: Wrong.\n"),
        (PeerError("Wrong."), 7, "error: Wrong.\n"),
        (NonFiniteError("Wrong."), 1, "error: Wrong.\n"),
        (Interrupted("Saved.", 15), 143, "stopped: Saved.\n"),
        (Interrupted("Saved.", 2), 130, "stopped: Saved.\n"),
        (KeyboardInterrupt(), 130, "error: Stopped by Ctrl-C before the command finished.\n"),
        (OSError(errno.ENOSPC, "No space", "a/b"), 5, "error: The disk is full: a/b. "),
        (PermissionError(errno.EACCES, "Permission denied", "a"), 1, "denied: a.\n"),
        (MemoryError(), 1, "error: There is not enough memory."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "not enough memory"),
        (KeyError("x"), 1, "internal error: KeyError: 'x'; run again with --debug"),
    ],
)
def test_errors(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each kind of error has its code; the message stands alone on stderr."""
    assert code == report_error(error, debug=False)

    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_terminals_cannot_be_steered(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of a table's cell are shown, not obeyed."""
    report_error(TableError("cell \x1b[2J\x07\x9b, however\nline 2"), debug=False)

    assert capsys.readouterr().err == "error: cell \\x1b[2J\\x07\\x9b, however\nline 2.\n"


def test_a_closed_pipe_is_quiet() -> None:
    """When the reader has enough, the command ends without a word."""
    program = f"{sys.executable} -m afina fit --help | true; exit ${{PIPESTATUS[0]}}"

    run = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)

    assert run.returncode in (0, 141)  # the help may fit into the pipe before its reader ends
    assert run.stderr == ""


def test_a_full_device_is_an_error() -> None:
    """Output that cannot be written is an error, not silence."""
    program = f"{sys.executable} -m afina --help > /dev/full"

    run = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)

    assert run.returncode == 5
    assert "The disk is full" in run.stderr
