"""What a run leaves behind: records for observers, metrics.jsonl, and checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from afina.storage import lock_folder, make_folder
from afina.train.events import (
    CheckpointEvent,
    EpochEvent,
    EvalEvent,
    Event,
    Observer,
    StepEvent,
    StopEvent,
)
from afina.train.processes import ALONE, Processes, only_first
from afina.train.run.checkpoint import CheckpointPlan, Keeper
from afina.train.run.interrupts import StopRequest
from afina.train.run.metrics_log import MetricsLog
from afina.train.state import TrainState

Whole = Callable[[TrainState], tuple[Mapping[str, Any], Mapping[str, Any]]]


@dataclass
class Journal:
    """Tells everybody what happens, and writes it down where there is a run folder.

    Of several processes, rank 0 tells and writes; all of them call everything here together.

    Args:
        observers: get every record; one that returns a text asks to stop.
        request: the signal that asked for a stop, if any.
        whole: `state -> (trees, extra)`: all that a checkpoint holds beside the state.
        processes: who trains together.
        folder: the run folder, if there is one.
        observed: whether rank 0 has observers.
        metrics: metrics.jsonl; none without a run folder, and on other ranks.
        keeper: the checkpoints, likewise.
        history: records of epochs, evaluations and the end; steps are too many to keep.
    """

    observers: Sequence[Observer]
    request: StopRequest
    whole: Whole
    processes: Processes = ALONE
    folder: Path | None = None
    observed: bool = True
    metrics: MetricsLog | None = None
    keeper: Keeper | None = None
    history: list[Event] = field(default_factory=list)

    def notify(self, event: Event) -> str | None:
        """Tell everybody; give the reason if one asks to stop, on every rank."""
        asked = self._tell(event)
        if self.processes.alone or not self.observed:
            return asked
        if self.processes.agree([int(bool(asked))])[0]:
            asked = self.processes.broadcast_json(asked)
        return asked

    def _tell(self, event: Event) -> str | None:
        if self.metrics is not None:
            self.metrics.write(event)
        if isinstance(event, EpochEvent | EvalEvent | StopEvent):
            self.history.append(event)
        if not self.observers and isinstance(event, StepEvent):
            return None
        asked = None
        for observer in self.observers:
            asked = observer(event) or asked
        return asked

    def checkpoint(self, state: TrainState, value: float | None) -> None:
        """Write a checkpoint if one is due; leave if a signal asked to.

        Args:
            state: where the run is.
            value: the monitored metric, where it was just computed.

        Raises:
            StorageError: it could not be written; earlier ones are as they were.
            Interrupted: a signal came; the state is on disk.
        """
        if self.folder is None:
            return
        self._tell_finished()
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
        """Write a checkpoint, where there is a run folder, and wait until it is durable."""
        if self.folder is not None:
            self._begin(state, None)
            self._end()

    def _begin(self, state: TrainState, value: float | None) -> None:
        """Copy a checkpoint; it is written, after its metrics, while training goes on."""
        trees, extra = self.whole(state)  # where it is sharded, all ranks meet here
        if self.keeper is None or self.metrics is None:
            return
        extra = {**extra, "metrics_bytes": self.metrics.flush()}
        self.keeper.save(state, trees, extra, value, first=self.metrics.make_durable)

    def _end(self) -> None:
        if self.keeper is not None:
            self.keeper.wait()
            self._tell_finished()

    def _tell_finished(self) -> None:
        for path in [] if self.keeper is None else self.keeper.finished():
            self._tell(CheckpointEvent(int(path.name.removeprefix("step-")), path))


def take_folder(folder: Path | None, stack: ExitStack) -> None:
    """Make the run folder, if there is to be one, and keep other processes out of it.

    Raises:
        LockedError: another process is using it.
        StorageError: it cannot be made.
    """
    if folder is not None:
        make_folder(folder)
        stack.enter_context(lock_folder(folder))


def open_journal(
    journal: Journal,
    stack: ExitStack,
    *,
    folder: Path | None,
    plan: CheckpointPlan,
    log_every: int,
    metrics_bytes: int,
    higher_is_better: bool,
) -> None:
    """Let rank 0 alone tell observers and write, and open what it writes to.

    Args:
        stack: closes the files.
        folder: the run folder, if there is one.
        plan: when checkpoints are written.
        log_every: of how many steps one is written to metrics.jsonl.
        metrics_bytes: how much of metrics.jsonl stays.
        higher_is_better: direction of the monitored metric.

    Raises:
        StorageError: it cannot be written.
    """
    journal.folder = folder
    if not journal.processes.first:
        journal.observers = ()
    journal.observed = journal.processes.broadcast_json(bool(journal.observers))
    if folder is None:
        return

    def open_files() -> None:
        journal.metrics = MetricsLog(folder / "metrics.jsonl", every=log_every, size=metrics_bytes)
        stack.callback(journal.metrics.close)
        keeper = Keeper(folder / "checkpoints", plan, higher_is_better=higher_is_better)
        journal.keeper = stack.enter_context(keeper)  # before the log is closed, it waits

    only_first(journal.processes, open_files)
