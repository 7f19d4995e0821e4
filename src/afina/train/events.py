"""What observers are told: frozen records, in the order things happen.

An observer is a callable that takes one record. It can read, and it can ask to stop by returning
a non-empty string (the reason); it cannot change anything.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

StopReason = Literal["patience", "max_epochs", "max_steps", "observer"]


class StepEvent(NamedTuple):
    """One optimizer step was taken.

    Args:
        step: steps taken so far, this one included.
        epoch: whole epochs finished before this step.
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
    """All training rows were seen once more.

    Args:
        step: steps taken so far.
        epoch: epochs finished, this one included.
        loss: weighted mean of the losses of the epoch's steps (moving weights, train mode).
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
        extended: whether training goes on only because patience is extended.
    """

    step: int
    epoch: int
    metrics: Mapping[str, float]
    best: bool
    extended: bool = False


class CheckpointEvent(NamedTuple):
    """A checkpoint is whole on disk."""

    step: int
    path: Path


class StopEvent(NamedTuple):
    """Training ended.

    Args:
        step: steps taken.
        epoch: epochs finished.
        reason: one word.
        why: a sentence.
        monitor: the metric that decided what is best; none without validation rows.
        best: its best value.
        best_step: steps taken when it was best.
        best_epoch: epochs finished when it was best.
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
Observer = Callable[[Event], str | None]
