"""The training loop for any `nn.Module`. It knows no table and none of afina's models."""

from afina.nn.eval_mode import eval_mode
from afina.train.events import (
    CheckpointEvent,
    EpochEvent,
    EvalEvent,
    Event,
    Observer,
    StepEvent,
    StopEvent,
)
from afina.train.loss import make_weighted_loss
from afina.train.rng import stream_seed
from afina.train.run.checkpoint import CheckpointPlan
from afina.train.trainer import Result, Trainer

__all__ = [
    "CheckpointEvent",
    "CheckpointPlan",
    "EpochEvent",
    "EvalEvent",
    "Event",
    "Observer",
    "Result",
    "StepEvent",
    "StopEvent",
    "Trainer",
    "eval_mode",
    "make_weighted_loss",
    "stream_seed",
]
