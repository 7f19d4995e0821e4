"""Which of several processes speaks."""

import pytest

from afina.cli.exits import report_error
from afina.cli.process import is_first_process
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
