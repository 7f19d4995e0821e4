"""metrics.jsonl: one JSON object per line, for each step, epoch and evaluation, and for the end.

    {"kind": "step", "step", "epoch", "train/loss", "lr", "grad_norm"}
    {"kind": "epoch", "step", "epoch", "train/loss"}
    {"kind": "eval", "step", "epoch", "val/loss", "val/<score>"...}
    {"kind": "stop", ...the fields of `StopRecord`}

Training writes these lines as plain JSON, because there is one for every step. `step` and `epoch`
count finished steps and epochs; a number that is not finite is null.
"""

from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from afina.errors import CheckpointError
from afina.records.json_record import FIX, Count, Number, Text, parse_object, read_bytes


@dataclass(frozen=True, kw_only=True)
class StopRecord:
    """Why and where training ended, and where it was best.

    Args:
        step: steps taken.
        epoch: epochs finished.
        reason: one word.
        why: a sentence.
        monitor: the metric that decides which epoch is best. None: there were no validation rows.
        best: the best value of that metric.
        best_step: steps taken when it was best.
        best_epoch: epochs finished when it was best.
    """

    step: Count
    epoch: Count
    reason: Text = ""
    why: Text = ""
    monitor: Text | None = None
    best: Number = None
    best_step: Count | None = None
    best_epoch: Count | None = None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the records of metrics.jsonl, in order; a missing file counts as empty.

    An incomplete last line is skipped; a resumed run overwrites it.

    Raises:
        CheckpointError: any other line is not a JSON object; the message names file and line.
    """
    lines = (read_bytes(path) or b"").split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            records.append(parse_object(line, line_of(path, number), FIX))
        except CheckpointError:
            if number < len(lines):
                raise
    return records


def line_of(path: Path, number: int) -> str:
    """Return the name of a line of metrics.jsonl, counted from 1, for messages."""
    return f"{path}, line {number}"
