"""metrics.jsonl: one line a step or evaluation, the same bytes whenever the run is the same run."""

import json
import math
import os
from pathlib import Path
from typing import Any

from afina.train.events import EpochEvent, EvalEvent, Event, StepEvent, StopEvent


class MetricsLog:
    """Append records to `metrics.jsonl`; go back to where a checkpoint left it.

    There are no clock times in it, so that a resumed run's log equals the uninterrupted run's.

    Args:
        path: the file.
        every: of how many steps one is written.
        size: bytes to keep of what is there: 0 for a new run, a checkpoint's figure at resume.
    """

    def __init__(self, path: Path, *, every: int, size: int) -> None:
        self.every = every
        self.file = path.open("ab")
        self.file.truncate(size)
        self.file.seek(size)

    def write(self, event: Event) -> None:
        """Write a record, if it is of a kind that is logged."""
        if isinstance(event, StepEvent):
            if event.step % self.every == 0 or event.step == 1:
                self._line(
                    kind="step",
                    step=event.step,
                    epoch=event.epoch,
                    **{"train/loss": event.loss},
                    lr=event.lr,
                    grad_norm=event.grad_norm,
                )
        elif isinstance(event, EpochEvent):
            self._line(
                kind="epoch", step=event.step, epoch=event.epoch, **{"train/loss": event.loss}
            )
        elif isinstance(event, EvalEvent):
            extended = {"extended": True} if event.extended else {}
            self._line(kind="eval", step=event.step, epoch=event.epoch, **event.metrics, **extended)
        elif isinstance(event, StopEvent):
            self._line(kind="stop", **event._asdict())

    def sync(self) -> int:
        """Make what was written durable; give its size in bytes."""
        self.file.flush()
        os.fsync(self.file.fileno())
        return self.file.tell()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _line(self, **record: Any) -> None:
        clean = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in record.items()
        }
        self.file.write(json.dumps(clean).encode() + b"\n")
