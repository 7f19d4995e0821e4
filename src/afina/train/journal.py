"""What a run leaves behind: records for observers, metrics.jsonl, and checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from afina.train.checkpoint import Keeper
from afina.train.events import (
    CheckpointEvent,
    EpochEvent,
    EvalEvent,
    Event,
    Observer,
    StepEvent,
    StopEvent,
)
from afina.train.interrupts import StopRequest
from afina.train.record import MetricsLog
from afina.train.state import TrainState

Whole = Callable[[TrainState], tuple[Mapping[str, Any], Mapping[str, Any]]]


@dataclass
class Journal:
    """Tells everybody what happens, and writes it down where there is a run folder.

    Args:
        observers: get every record; one that returns a text asks to stop.
        request: the signal that asked for a stop, if any.
        whole: `state -> (trees, extra)`: all that a checkpoint holds beside the state.
        metrics: metrics.jsonl; none without a run folder.
        keeper: the checkpoints; none without a run folder.
        history: records of epochs, evaluations and the end; steps are too many to keep.
    """

    observers: Sequence[Observer]
    request: StopRequest
    whole: Whole
    metrics: MetricsLog | None = None
    keeper: Keeper | None = None
    history: list[Event] = field(default_factory=list)

    def notify(self, event: Event) -> str | None:
        """Tell everybody; give the reason if one asks to stop."""
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
        if self.keeper is None or not (self.request.signum or self.keeper.due(state, value)):
            return
        self.save(state, value)
        if state.stop is None:
            self.request.leave_if_asked(step=state.step, saved_in=self.keeper.folder)

    def save(self, state: TrainState, value: float | None = None) -> None:
        """Write a checkpoint now, where there is a run folder."""
        if self.keeper is None or self.metrics is None:
            return
        trees, extra = self.whole(state)
        extra = {**extra, "metrics_bytes": self.metrics.sync()}
        path = self.keeper.save(state, trees, extra, value)
        self.notify(CheckpointEvent(state.step, path))
