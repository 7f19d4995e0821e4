"""Read metrics.jsonl, also of a run that was killed while writing its last line."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afina.report.jsonfile import Record, as_count, as_number, damaged


@dataclass
class Curve:
    """A value followed over a run.

    Args:
        x: steps or epochs, ascending.
        y: the value there; None where it was not finite.
    """

    x: list[float] = field(default_factory=list)
    y: list[float | None] = field(default_factory=list)

    def add(self, x: float, y: float | None) -> None:
        """Append a point."""
        self.x.append(x)
        self.y.append(y)

    def finite(self) -> list[float]:
        """Return the values that can be drawn."""
        return [value for value in self.y if value is not None]


@dataclass(frozen=True)
class Stop:
    """Why and where training ended, and where it was best."""

    step: int
    epoch: int
    reason: str
    why: str
    monitor: str | None
    best: float | None
    best_step: int | None
    best_epoch: int | None


@dataclass(frozen=True)
class Metrics:
    """What metrics.jsonl tells.

    Args:
        train_loss: by epoch.
        val: by epoch, for each of `val/loss` and the scores.
        lr: learning rate by step.
        grad_norm: gradient norm before clipping, by step.
        step: steps finished when the last record was written.
        epoch: epochs finished then.
        stop: the stop record; None while the run is unfinished.
        epochs_per_step: set where evaluations stand between whole epochs.
    """

    train_loss: Curve
    val: dict[str, Curve]
    lr: Curve
    grad_norm: Curve
    step: int
    epoch: int
    stop: Stop | None
    epochs_per_step: float | None = None

    def place(self, epoch: int, step: int) -> float:
        """Where an evaluation stands on the axis of epochs."""
        return epoch if self.epochs_per_step is None else step * self.epochs_per_step


def read_metrics(path: Path) -> Metrics:
    """Read metrics.jsonl; no file is a run without records.

    A last line that was written by half is left out, as a resumed run leaves it out.

    Raises:
        CheckpointError: any other line is not a record; the message names file and line.
    """
    records = _records(path)
    lr, grad_norm, train_loss = Curve(), Curve(), Curve()
    stop: Stop | None = None
    for number, record in enumerate(records, start=1):
        kind, where = record.get("kind"), path.with_name(f"{path.name}, line {number}")
        if kind == "step":
            step = as_count(record.get("step"), "step", where)
            lr.add(step, as_number(record.get("lr"), "lr", where))
            grad_norm.add(step, as_number(record.get("grad_norm"), "grad_norm", where))
        elif kind == "epoch":
            as_count(record.get("step"), "step", where)
            epoch = as_count(record.get("epoch"), "epoch", where)
            train_loss.add(epoch, as_number(record.get("train/loss"), "train/loss", where))
        elif kind == "stop":
            stop = read_stop(record, where)
    last = records[-1] if records else {}
    val, epochs_per_step = _val_curves(records, path)
    return Metrics(
        train_loss=train_loss,
        val=val,
        lr=lr,
        grad_norm=grad_norm,
        step=as_count(last.get("step", 0), "step", path),
        epoch=as_count(last.get("epoch", 0), "epoch", path),
        stop=stop,
        epochs_per_step=epochs_per_step,
    )


def read_stop(record: Record, path: Path) -> Stop:
    """Read a stop record, from metrics.jsonl or from summary.json."""
    best_step, best_epoch = record.get("best_step"), record.get("best_epoch")
    return Stop(
        step=as_count(record.get("step"), "stop.step", path),
        epoch=as_count(record.get("epoch"), "stop.epoch", path),
        reason=str(record.get("reason") or ""),
        why=str(record.get("why") or ""),
        monitor=None if record.get("monitor") is None else str(record["monitor"]),
        best=as_number(record.get("best"), "stop.best", path),
        best_step=None if best_step is None else as_count(best_step, "stop.best_step", path),
        best_epoch=None if best_epoch is None else as_count(best_epoch, "stop.best_epoch", path),
    )


def _records(path: Path) -> list[Record]:
    lines = (_read_lines(path) or "").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    records: list[Record] = []
    for number, line in enumerate(lines, start=1):
        try:
            record: Any = json.loads(line)
        except (ValueError, RecursionError) as reason:
            if number == len(lines):
                break  # the run was killed, or is writing just now
            raise damaged(path, f"line {number}: {reason}") from reason
        if not isinstance(record, dict):
            raise damaged(path, f"line {number} holds a {type(record).__name__}, not an object")
        records.append(record)
    return records


def _read_lines(path: Path) -> str | None:
    """Read metrics.jsonl as text; a last line cut within a letter loses that line only."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as reason:
        raise damaged(path, str(reason)) from reason
    whole, newline, rest = data.rpartition(b"\n")
    try:
        return (whole + newline).decode("utf-8") + rest.decode("utf-8", errors="replace")
    except UnicodeDecodeError as reason:
        raise damaged(path, str(reason)) from reason


def _val_curves(records: list[Record], path: Path) -> tuple[dict[str, Curve], float | None]:
    """Collect the evaluations by name; several in one epoch stand between whole epochs."""
    evals = [record for record in records if record.get("kind") == "eval"]
    steps = [as_count(record.get("step"), "step", path) for record in evals]
    epochs = [as_count(record.get("epoch"), "epoch", path) for record in evals]
    places: list[float] = list(epochs)
    scale: float | None = None
    ends = [record for record in records if record.get("kind") == "epoch" and record["step"]]
    if len(set(epochs)) < len(epochs):
        scale = ends[-1]["epoch"] / ends[-1]["step"] if ends else 1 / max(*steps, 1)
        places = [step * scale for step in steps]
    curves: dict[str, Curve] = {}
    for place, record in zip(places, evals, strict=True):
        for name, value in record.items():
            if name.startswith("val/"):
                curves.setdefault(name, Curve()).add(place, as_number(value, name, path))
    return curves, scale
