"""The progress of training as curves, read from metrics.jsonl."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afina.records.json_record import Count, Number, check
from afina.records.metrics_jsonl import StopRecord, line_of, read_lines

Lines = list[tuple[str, dict[str, Any]]]
"""Each record, preceded by its file and line."""


@dataclass
class Curve:
    """The values of one metric over a run.

    Args:
        x: steps or epochs, ascending.
        y: the value at each x; None if it was not finite.
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
class Metrics:
    """The content of metrics.jsonl.

    Args:
        train_loss: training loss by epoch.
        val: `val/loss` and each score, by epoch.
        lr: learning rate by step.
        grad_norm: gradient norm before clipping, by step.
        step: steps finished when the last record was written.
        epoch: epochs finished by then.
        stop: the stop record. None: the run is unfinished.
        epochs_per_step: set if there were evaluations within epochs.
    """

    train_loss: Curve
    val: dict[str, Curve]
    lr: Curve
    grad_norm: Curve
    step: int
    epoch: int
    stop: StopRecord | None
    epochs_per_step: float | None = None

    def place(self, epoch: int, step: int) -> float:
        """Return the position of an evaluation on the epoch axis."""
        return epoch if self.epochs_per_step is None else step * self.epochs_per_step


def read_metrics(path: Path) -> Metrics:
    """Read metrics.jsonl; a missing file means that the run has no records yet.

    Raises:
        CheckpointError: a line is damaged; the message names file, line and key.
    """
    lines = [(line_of(path, n), record) for n, record in enumerate(read_lines(path), start=1)]
    lr, grad_norm, train_loss = Curve(), Curve(), Curve()
    stop: StopRecord | None = None
    for where, record in lines:
        kind = record.get("kind")
        if kind == "step":
            step = _count(record, "step", where)
            lr.add(step, _number(record, "lr", where))
            grad_norm.add(step, _number(record, "grad_norm", where))
        elif kind == "epoch":
            train_loss.add(_count(record, "epoch", where), _number(record, "train/loss", where))
        elif kind == "stop":
            stop = check(record, StopRecord, where)
    where, last = lines[-1] if lines else ("", {})
    last = {"step": 0, "epoch": 0} | last
    val, epochs_per_step = _val_curves(lines)
    return Metrics(
        train_loss=train_loss,
        val=val,
        lr=lr,
        grad_norm=grad_norm,
        step=_count(last, "step", where),
        epoch=_count(last, "epoch", where),
        stop=stop,
        epochs_per_step=epochs_per_step,
    )


def _val_curves(lines: Lines) -> tuple[dict[str, Curve], float | None]:
    """Collect the evaluations by metric; several in one epoch go between whole epochs."""
    evals = [(where, record) for where, record in lines if record.get("kind") == "eval"]
    epochs = [_count(record, "epoch", where) for where, record in evals]
    places: list[float] = list(epochs)
    scale: float | None = None
    if len(set(epochs)) < len(epochs):
        steps = [_count(record, "step", where) for where, record in evals]
        scale = _epochs_per_step(lines) or 1 / max(*steps, 1)
        places = [step * scale for step in steps]
    curves: dict[str, Curve] = {}
    for place, (where, record) in zip(places, evals, strict=True):
        for name in record:
            if name.startswith("val/"):
                curves.setdefault(name, Curve()).add(place, _number(record, name, where))
    return curves, scale


def _epochs_per_step(lines: Lines) -> float | None:
    """Return the epochs per step at the last finished epoch, or None before the first."""
    for where, record in reversed(lines):
        if record.get("kind") == "epoch" and (step := _count(record, "step", where)):
            return _count(record, "epoch", where) / step
    return None


def _count(record: dict[str, Any], key: str, where: str) -> int:
    value: int = check(record.get(key), Count, where, key=key)
    return value


def _number(record: dict[str, Any], key: str, where: str) -> float | None:
    value: float | None = check(record.get(key), Number, where, key=key)
    return value
