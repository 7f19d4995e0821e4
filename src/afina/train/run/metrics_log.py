"""metrics.jsonl: one line a step or evaluation, the same bytes whenever the run is the same run."""

import errno
import json
import math
from pathlib import Path
from typing import Any

from afina.errors import CheckpointError, StorageError
from afina.storage import sync_file
from afina.train.events import EpochEvent, EvalEvent, Event, StepEvent, StopEvent


class MetricsLog:
    """Append records to `metrics.jsonl`; go back to where a checkpoint left it.

    There are no clock times in it, so that a resumed run's log equals the uninterrupted run's.

    Args:
        path: the file.
        every: of how many steps one is written.
        size: bytes to keep of what is there: 0 for a new run, a checkpoint's figure at resume.

    Raises:
        StorageError: from any method: the disk is full, or fails.
        CheckpointError: there are fewer bytes than `size`.
    """

    def __init__(self, path: Path, *, every: int, size: int) -> None:
        self.every = every
        self.path = path
        found = path.stat().st_size if path.exists() else 0
        if found < size:  # a truncate would put zeros in the place of what is lost
            raise CheckpointError(
                f"{path} must have the {size:,} bytes that the checkpoint counts, however: it has "
                f"{found:,}. Copy it again from where it is whole, or start a new run."
            )
        try:
            self.file = path.open("ab")
            self.file.truncate(size)
            self.file.seek(size)
        except OSError as reason:
            raise self._failed(reason) from reason

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

    def flush(self) -> int:
        """Hand what was written to the system; give the file's size in bytes."""
        try:
            self.file.flush()
        except OSError as reason:
            raise self._failed(reason) from reason
        return self.file.tell()

    def make_durable(self) -> None:
        """Make what was flushed durable; may be called from another thread than `write`."""
        sync_file(self.file.fileno(), self.path)

    def close(self) -> None:
        """Close the file."""
        try:
            self.file.close()
        except OSError as reason:
            raise self._failed(reason) from reason

    def _failed(self, reason: OSError) -> StorageError:
        error = StorageError(
            f"{self.path} must be writable, however: {reason.strerror or reason} "
            f"({errno.errorcode.get(reason.errno or 0, 'no code')}). Make room, or choose another "
            "folder; the run can be resumed from its last checkpoint."
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
