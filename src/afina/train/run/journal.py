"""The output of a run: events for observers, metrics.jsonl, and checkpoints."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afina.storage import checkpoint_step, lock_folder, make_folder
from afina.train.events import (
    CheckpointEvent,
    EpochEvent,
    EvalEvent,
    Event,
    Observer,
    StepEvent,
    StopEvent,
    reason_to_stop,
)
from afina.train.processes import ALONE, Processes, only_first
from afina.train.run.checkpoint import Keeper
from afina.train.run.checkpoint_plan import CheckpointPlan
from afina.train.run.interrupts import StopRequest
from afina.train.run.metrics_log import MetricsLog
from afina.train.settings import TrainerSettings
from afina.train.state import TrainState

Whole = Callable[[TrainState], tuple[Mapping[str, Any], Mapping[str, Any]]]


@dataclass
class Journal:
    """Notify observers of events, and record them if there is a run folder.

    With several processes, only rank 0 notifies and writes, but all of them make every call
    together.

    Args:
        observers: callables that get every event; one that returns `Stop(why)` requests a stop.
        request: the signal that asked for a stop, if any.
        whole: `state -> (trees, extra)`: everything that a checkpoint holds apart from the state.
        processes: the processes that train together.
        folder: the run folder, if there is one.
        observed: whether rank 0 has observers.
        metrics: metrics.jsonl; None without a run folder, and on other ranks.
        keeper: the checkpoints; None without a run folder, and on other ranks.
        history: events of epochs, evaluations and the end; there are too many steps to keep.
    """

    observers: Sequence[Observer]
    request: StopRequest
    whole: Whole
    processes: Processes
    folder: Path | None
    observed: bool
    metrics: MetricsLog | None
    keeper: Keeper | None
    history: list[Event] = field(default_factory=list)

    def notify(self, event: Event) -> str | None:
        """Notify every observer; return, on every rank, the reason if one requests a stop."""
        reason = self._record(event)
        if self.processes.alone or not self.observed:
            return reason
        if self.processes.agree([int(bool(reason))])[0]:
            reason = self.processes.broadcast_json(reason)
        return reason

    def _record(self, event: Event) -> str | None:
        if self.metrics is not None:
            self.metrics.write(event)
        if isinstance(event, EpochEvent | EvalEvent | StopEvent):
            self.history.append(event)
        if not self.observers and isinstance(event, StepEvent):
            return None
        reason = None
        for observer in self.observers:
            reason = reason_to_stop(observer(event)) or reason
        return reason

    def checkpoint(self, state: TrainState, value: float | None) -> None:
        """Write a checkpoint if one is due; raise `Interrupted` if a signal requested a stop.

        Args:
            state: the current state of the run.
            value: the monitored metric, if it was just computed.

        Raises:
            StorageError: a checkpoint could not be written; earlier ones are unchanged.
            Interrupted: a signal arrived; the state is on disk if there is a run folder.
        """
        if self.folder is None:
            self.request.leave_if_asked(step=state.step, saved_in=None)
            return
        self._record_finished()
        due = self.keeper is not None and self.keeper.due(state, value)
        # A signal may have come to one rank only, and rank 0's clock decides for all.
        signum, due_anywhere = self.processes.agree([self.request.signum or 0, int(due)])
        if not signum and not due_anywhere:
            return
        self._begin(state, value)
        self.request.signum = signum or None
        if signum and state.stop is None:
            self._end()
            saved_in = self.folder / "checkpoints"
            self.request.leave_if_asked(step=state.step, saved_in=saved_in)

    def save(self, state: TrainState) -> None:
        """Write a checkpoint if there is a run folder, and wait until it is durable."""
        if self.folder is not None:
            self._begin(state, None)
            self._end()

    def _begin(self, state: TrainState, value: float | None) -> None:
        """Copy a checkpoint; it is written after its metrics, while training continues."""
        trees, extra = self.whole(state)  # if the model is sharded, all ranks take part
        if self.keeper is None or self.metrics is None:
            return
        extra = {**extra, "metrics_bytes": self.metrics.flush()}
        self.keeper.save(state, trees, extra, value, first=self.metrics.make_durable)

    def _end(self) -> None:
        if self.keeper is not None:
            self.keeper.wait()
            self._record_finished()

    def _record_finished(self) -> None:
        for path in [] if self.keeper is None else self.keeper.finished():
            self._record(CheckpointEvent(checkpoint_step(path), path))


@contextmanager
def owned_folder(folder: Path | None, processes: Processes) -> Iterator[None]:
    """Make the run folder, if requested, and lock it within the `with` block.

    Raises:
        LockedError: another process is using the folder.
        StorageError: the folder cannot be created.
    """
    with ExitStack() as stack:

        def own() -> None:
            if folder is not None:
                make_folder(folder)
                stack.enter_context(lock_folder(folder))

        only_first(processes, own)
        yield


@contextmanager
def open_journal(
    folder: Path | None,
    settings: TrainerSettings,
    *,
    plan: CheckpointPlan,
    observers: Sequence[Observer],
    request: StopRequest,
    whole: Whole,
    processes: Processes = ALONE,
    metrics_bytes: int = 0,
) -> Iterator[Journal]:
    """Open the files that a run writes to; only rank 0 notifies observers and writes.

    Args:
        folder: the run folder, if there is one.
        plan: when checkpoints are written.
        metrics_bytes: number of bytes of metrics.jsonl to keep.

    Raises:
        StorageError: a file cannot be written.
    """
    own = tuple(observers) if processes.first else ()
    observed = processes.broadcast_json(bool(own))
    with ExitStack() as stack:

        def open_files() -> tuple[MetricsLog, Keeper] | None:
            if folder is None:
                return None
            path = folder / "metrics.jsonl"
            metrics = MetricsLog(path, every=settings.log_every, size=metrics_bytes)
            stack.callback(metrics.close)
            better = bool(settings.higher_is_better)
            keeper = Keeper(folder / "checkpoints", plan, higher_is_better=better)
            return metrics, stack.enter_context(keeper)  # its exit waits before the log closes

        files = None if folder is None else only_first(processes, open_files)
        metrics, keeper = files or (None, None)
        yield Journal(own, request, whole, processes, folder, observed, metrics, keeper)
