"""Reading metrics.jsonl."""

from collections.abc import Callable
from pathlib import Path

import pytest

from afina.errors import CheckpointError
from afina.report.metrics import Metrics, read_metrics

Maker = Callable[..., Path]


def _read(path: Path, *lines: str, end: str = "\n") -> Metrics:
    path.write_text("\n".join(lines) + end, encoding="utf-8")
    return read_metrics(path)


def test_the_curves_of_a_run(make_run: Maker) -> None:
    """Losses stand by epoch, learning rate and gradient norm by step, and the end is known."""
    metrics = read_metrics(make_run("binary") / "metrics.jsonl")
    assert metrics.train_loss.x == list(range(1, 45))
    assert metrics.val["val/loss"].x == list(range(1, 45))
    assert metrics.lr.x == metrics.grad_norm.x == list(range(1, 617))
    assert (metrics.step, metrics.epoch) == (616, 44)
    assert metrics.stop is not None
    assert (metrics.stop.best_epoch, metrics.stop.epoch) == (28, 44)


def test_no_file_is_a_run_without_records(tmp_path: Path) -> None:
    """A run that was just begun has no metrics yet."""
    metrics = read_metrics(tmp_path / "metrics.jsonl")
    assert metrics.step == 0
    assert metrics.stop is None
    assert metrics.train_loss.x == []


WHOLE = '{"kind": "epoch", "step": 7, "epoch": 1, "train/loss": 0.5}'


@pytest.mark.parametrize("end", ["", "\n", "\n\n", '\n{"kind": "st', "\n{", "\n\x00\x00\n", "\n1e"])
def test_a_last_line_cut_short_is_left_out(tmp_path: Path, end: str) -> None:
    """A run that was killed while writing still has all its whole records."""
    metrics = _read(tmp_path / "metrics.jsonl", WHOLE, end=end)
    assert metrics.train_loss.y == [0.5]
    assert metrics.step == 7


def test_a_last_line_cut_within_a_letter(tmp_path: Path) -> None:
    """A cut within the two bytes of a letter loses that line only."""
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(WHOLE.encode() + b'\n{"kind": "stop", "why": "gr\xc3')
    assert read_metrics(path).train_loss.y == [0.5]


@pytest.mark.parametrize("line", ["{", "[]", '"x"', ""])
def test_a_damaged_line_inside_is_named(tmp_path: Path, line: str) -> None:
    """A line that is no record, and not the last, is damage: file and line are named."""
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl, line 2 must"):
        _read(tmp_path / "metrics.jsonl", WHOLE, line, WHOLE)


def test_a_wrong_value_is_named_with_its_line(tmp_path: Path) -> None:
    """A value of a wrong type names the line it stands in."""
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl, line 2: train/loss must be"):
        _read(tmp_path / "metrics.jsonl", WHOLE, WHOLE.replace("0.5", '"low"'))
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl, line 1: step must be"):
        _read(tmp_path / "metrics.jsonl", WHOLE.replace("7", "null"))


def test_null_is_kept_as_a_gap(tmp_path: Path) -> None:
    """A loss that was not finite stays in its place, without a value."""
    metrics = _read(tmp_path / "metrics.jsonl", WHOLE.replace("0.5", "null"))
    assert metrics.train_loss.y == [None]
    assert metrics.train_loss.finite() == []


def test_evaluations_within_an_epoch_stand_by_step(tmp_path: Path) -> None:
    """Several evaluations in an epoch keep apart, and so do best and stop."""
    lines = [
        f'{{"kind": "eval", "step": {step}, "epoch": {step // 10}, "val/loss": 1.0}}'
        for step in (5, 10, 15)
    ]
    lines.append('{"kind": "epoch", "step": 10, "epoch": 1, "train/loss": 1.0}')
    metrics = _read(tmp_path / "metrics.jsonl", *lines)
    assert metrics.val["val/loss"].x == [0.5, 1.0, 1.5]
    assert metrics.place(epoch=1, step=15) == 1.5
    before_the_first_epoch = _read(tmp_path / "metrics.jsonl", lines[0], lines[0])
    assert before_the_first_epoch.val["val/loss"].x == [1.0, 1.0]


def test_the_last_stop_counts(tmp_path: Path) -> None:
    """A run that was stopped, continued and stopped again ended where it ended last."""
    stop = (
        '{"kind": "stop", "step": 7, "epoch": %d, "reason": "observer", "why": "asked", '
        '"monitor": null, "best": null, "best_step": null, "best_epoch": null}'
    )
    metrics = _read(tmp_path / "metrics.jsonl", stop % 1, WHOLE, stop % 2)
    assert metrics.stop is not None
    assert metrics.stop.epoch == 2
    assert metrics.stop.best_epoch is None
