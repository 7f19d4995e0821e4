"""metrics.jsonl."""

import contextlib
import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from afina.errors import CheckpointError, StorageError
from afina.train.events import CheckpointEvent, EpochEvent, EvalEvent, StepEvent, StopEvent
from afina.train.run.metrics_log import MetricsLog


def test_one_line_a_record_and_nan_is_null(tmp_path: Path) -> None:
    """Each record is one JSON object; floats read back equal; NaN is null; no clock times."""
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, every=2, size=0)
    for event in (
        StepEvent(1, 0, 0.1, 1e-3, 2.5),
        StepEvent(2, 0, 1 / 3, 1e-3, float("inf")),
        StepEvent(3, 0, 0.3, 1e-3, 2.5),
        EpochEvent(3, 1, 0.25),
        EvalEvent(3, 1, {"val/loss": float("nan"), "val/accuracy": 0.5}, best=False),
        CheckpointEvent(3, tmp_path),
        StopEvent(3, 1, "max_epochs", "why", None, None, None, None),
    ):
        log.write(event)
    assert log.flush() == path.stat().st_size
    log.make_durable()
    log.close()
    records = [json.loads(line) for line in path.read_text().splitlines()]

    assert [r["kind"] for r in records] == ["step", "step", "epoch", "eval", "stop"]
    assert records[1] == {
        "kind": "step",
        "step": 2,
        "epoch": 0,
        "train/loss": 1 / 3,
        "lr": 1e-3,
        "grad_norm": None,
    }
    assert records[3] == {
        "kind": "eval",
        "step": 3,
        "epoch": 1,
        "val/loss": None,
        "val/accuracy": 0.5,
    }
    assert not any("time" in key for r in records for key in r)


def test_a_resume_goes_back_to_the_checkpoint(tmp_path: Path) -> None:
    """Lines written after the checkpoint are removed, including a partial line."""
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b": 2}\n{"c"')
    log = MetricsLog(path, every=1, size=9)
    log.write(EpochEvent(1, 1, 0.5))
    log.close()

    assert path.read_text().splitlines()[0] == '{"a": 1}'
    assert json.loads(path.read_text().splitlines()[1])["kind"] == "epoch"


def test_fewer_bytes_than_the_checkpoint_counts_are_an_error(tmp_path: Path) -> None:
    """A log that was cut short is refused, not filled with zeros."""
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"a": 1}\n')

    with pytest.raises(CheckpointError, match=r"must have at least the 10 bytes .* it has 9"):
        MetricsLog(path, every=1, size=10)
    assert path.read_bytes() == b'{"a": 1}\n'


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Let no file of this process grow beyond 4 KiB; larger writes fail with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill(log: MetricsLog) -> None:
    """Write more than fits."""
    for step in range(2000):
        log.write(EpochEvent(step, 1, 0.5))


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("ask", [fill, MetricsLog.flush, MetricsLog.close])
def test_a_full_disk_is_an_error_wherever_it_shows(
    tmp_path: Path, ask: Callable[[MetricsLog], object]
) -> None:
    """A failed write is a StorageError with path and code: at a record, a flush or the end."""
    log = MetricsLog(tmp_path / "metrics.jsonl", every=1, size=0)
    for step in range(80):  # more than 4 KiB, less than a file's buffer
        log.write(EpochEvent(step, 1, 0.5))

    with pytest.raises(StorageError, match=r"metrics.jsonl must be writable.*EFBIG"):
        ask(log)
    with contextlib.suppress(StorageError):
        log.close()
