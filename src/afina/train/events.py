"""The records that observers receive, in the order of the events.

An observer is a callable that takes one record. It can stop the run by returning `Stop(why)`, but
it cannot change anything. Any other return value is ignored: a progress bar, for example, returns
True when it has redrawn itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from afina.errors import ConfigError

StopReason = Literal["patience", "max_epochs", "max_steps", "observer", "interrupted"]


class StepEvent(NamedTuple):
    """One optimizer step was taken.

    Args:
        step: steps taken so far, this one included.
        epoch: epochs finished before this step.
        loss: weighted mean loss of the step's rows, in train mode, before the update.
        lr: learning rate of the first parameter group.
        grad_norm: 2-norm of the whole gradient before clipping.
    """

    step: int
    epoch: int
    loss: float
    lr: float
    grad_norm: float


class EpochEvent(NamedTuple):
    """An epoch was finished: all training rows were seen once more.

    Args:
        step: steps taken so far.
        epoch: epochs finished, this one included.
        loss: weighted mean of the losses of the epoch's steps (train mode, changing weights).
    """

    step: int
    epoch: int
    loss: float


class EvalEvent(NamedTuple):
    """The validation rows were evaluated, in eval mode.

    Args:
        step: steps taken so far.
        epoch: epochs finished so far.
        metrics: `val/loss` and the scores, by name.
        best: whether the monitored metric is the best so far.
        extended: whether training continues only because patience is extended.
    """

    step: int
    epoch: int
    metrics: Mapping[str, float]
    best: bool
    extended: bool = False


class CheckpointEvent(NamedTuple):
    """A checkpoint is complete on disk."""

    step: int
    path: Path


class StopEvent(NamedTuple):
    """Training ended.

    Args:
        step: steps taken.
        epoch: epochs finished.
        reason: one word.
        why: a sentence.
        monitor: the metric that decided which weights are best; None without validation rows.
        best: its best value.
        best_step: steps taken when the best value was reached.
        best_epoch: epochs finished when the best value was reached.
    """

    step: int
    epoch: int
    reason: StopReason
    why: str
    monitor: str | None
    best: float | None
    best_step: int | None
    best_epoch: int | None


Event = StepEvent | EpochEvent | EvalEvent | CheckpointEvent | StopEvent
Observer = Callable[[Event], Any]


@dataclass(frozen=True)
class Stop:
    """The value that an observer returns to stop training after the event it received.

    Args:
        why: the reason in words; it becomes `result.stop.why`.

    Raises:
        ConfigError: there is no reason.
    """

    why: str

    def __post_init__(self) -> None:
        why: object = self.why
        if not isinstance(why, str) or not why:
            raise ConfigError(
                "Stop needs a reason in words",
                got=f"{self.why!r}",
                fix='Return, for example, Stop("the loss is low enough").',
            )


def reason_to_stop(returned: object) -> str | None:
    """Return the reason if an observer has returned `Stop(why)`, else None.

    Raises:
        ConfigError: the observer has returned the class `Stop` itself.
    """
    if returned is Stop:
        raise ConfigError(
            "an observer must return Stop(why) to stop training",
            got="the class Stop",
            fix='Return, for example, Stop("the loss is low enough").',
        )
    return returned.why if isinstance(returned, Stop) else None
