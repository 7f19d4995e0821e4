"""metrics.jsonl: one line per step or evaluation; the same run always writes the same bytes."""

import errno
import json
import math
from pathlib import Path
from typing import Any

from afina.errors import CheckpointError, StorageError
from afina.storage import sync_file
from afina.train.events import EpochEvent, EvalEvent, Event, StepEvent, StopEvent


class MetricsLog:
    """Append records to `metrics.jsonl`, starting at its size in the checkpoint.

    It holds no clock times, so that the log of a resumed run equals that of an uninterrupted run.

    Args:
        path: the file.
        every: write one step out of this many.
        size: bytes of the file to keep: 0 for a new run, the number in the checkpoint at resume.

    Raises:
        StorageError: the disk is full or fails; any method may raise it.
        CheckpointError: the file has fewer bytes than `size`.
    """

    def __init__(self, path: Path, *, every: int, size: int) -> None:
        self.every = every
        self.path = path
        n_bytes = path.stat().st_size if path.exists() else 0
        if n_bytes < size:  # truncating would fill the missing bytes with zeros
            raise CheckpointError(
                f"{path} must have at least the {size:,} bytes recorded in the checkpoint",
                but=f"it has {n_bytes:,}",
                fix="Restore it from a complete copy, or start a new run.",
            )
        try:
            self.file = path.open("ab")
            self.file.truncate(size)
            self.file.seek(size)
        except OSError as reason:
            raise self._failed(reason) from reason

    def write(self, event: Event) -> None:
        """Write an event, if its kind is logged."""
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

    def flush(self) -> int:
        """Flush what was written to the operating system; return the file's size in bytes."""
        try:
            self.file.flush()
        except OSError as reason:
            raise self._failed(reason) from reason
        return self.file.tell()

    def make_durable(self) -> None:
        """Make flushed bytes durable; may be called from a different thread than `write`."""
        sync_file(self.file.fileno(), self.path)

    def close(self) -> None:
        """Close the file."""
        try:
            self.file.close()
        except OSError as reason:
            raise self._failed(reason) from reason

    def _failed(self, reason: OSError) -> StorageError:
        error = StorageError(
            f"{self.path} must be writable",
            but=f"writing failed: {reason.strerror or reason} "
            f"({errno.errorcode.get(reason.errno or 0, 'no code')})",
            fix="Make room, or choose another folder; the run can be resumed from its last "
            "checkpoint.",
        )
        error.errno = reason.errno
        return error

    def _line(self, **record: Any) -> None:
        clean = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in record.items()
        }
        try:
            self.file.write(json.dumps(clean).encode() + b"\n")
        except OSError as reason:
            raise self._failed(reason) from reason
