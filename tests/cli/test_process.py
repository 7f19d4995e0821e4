"""Which of several processes speaks."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from afina.cli import process
from afina.cli.exits import report_error
from afina.cli.process import is_first_process, process_start
from afina.errors import ConfigError, Interrupted, NonFiniteError, PeerError, StorageError
from afina.train.processes import LAUNCHED

SECOND = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("environ", "first"),
    [
        ({}, True),
        ({"RANK": "1"}, True),  # somebody else's
        (SECOND, False),
        (SECOND | {"RANK": "0"}, True),
        (SECOND | {"WORLD_SIZE": "1"}, True),
    ],
)
def test_who_speaks(environ: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a process that a launcher started as a later one of several is silent."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == first


def test_a_command_begins_when_its_process_does() -> None:
    """What Python takes to start counts, and so do imports before those of the command line."""
    code = (
        "import time; time.sleep(0.5); from afina.cli.process import process_start; "
        "print(time.monotonic() - process_start())"
    )
    asked = time.monotonic()
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    waited = time.monotonic() - asked

    assert float(run.stdout) <= waited + 0.02  # the system counts in hundredths of a second
    if Path("/proc/self/stat").exists():
        assert float(run.stdout) >= 0.5


def test_a_start_that_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere, and in a process that has long done other things, loading the module counts."""
    monkeypatch.setattr(process, "_LONGEST_START_S", 0.0)
    assert process_start() == process._LOADED


@pytest.mark.parametrize("name", LAUNCHED)
def test_the_rule_is_that_of_training(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where training takes a process to be alone, it speaks."""
    for other, value in SECOND.items():
        monkeypatch.setenv(other, value)
    monkeypatch.delenv(name)
    assert is_first_process()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError("Wrong."), False),
        (NonFiniteError("Wrong."), False),
        (Interrupted("Saved.", 15), False),
        (PeerError("Wrong.", relayed=True), False),
        (PeerError("Wrong."), True),
        (StorageError("Wrong."), True),
        (KeyError("x"), True),
    ],
)
def test_what_a_later_process_tells(
    error: BaseException,
    told: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What all processes fail by is told once; what may be one process's own is always told."""
    for name, value in SECOND.items():
        monkeypatch.setenv(name, value)
    assert report_error(error, debug=False) == getattr(error, "exit_code", 1)
    assert bool(capsys.readouterr().err) == told
