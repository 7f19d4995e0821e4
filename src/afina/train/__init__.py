"""The training loop for any `nn.Module`. It knows nothing about tables or afina's models."""

from typing import TYPE_CHECKING

from afina.lazy import import_on_use

if TYPE_CHECKING:
    from afina.nn.eval_mode import eval_mode
    from afina.train.events import (
        CheckpointEvent,
        EpochEvent,
        EvalEvent,
        Event,
        Observer,
        StepEvent,
        Stop,
        StopEvent,
    )
    from afina.train.loss import make_weighted_loss
    from afina.train.result import Result
    from afina.train.rng import stream_seed
    from afina.train.run.checkpoint_plan import CheckpointPlan
    from afina.train.run.saved_weights import load_weights
    from afina.train.settings import ExecutionSettings, LoopSettings, StopSettings, TrainerSettings
    from afina.train.trainer import Trainer
else:
    __getattr__ = import_on_use(
        __name__,
        elsewhere={"eval_mode": "afina.nn.eval_mode"},
        events=[
            "CheckpointEvent",
            "EpochEvent",
            "EvalEvent",
            "Event",
            "Observer",
            "StepEvent",
            "Stop",
            "StopEvent",
        ],
        loss=["make_weighted_loss"],
        result=["Result"],
        rng=["stream_seed"],
        run__checkpoint_plan=["CheckpointPlan"],
        run__saved_weights=["load_weights"],
        settings=["ExecutionSettings", "LoopSettings", "StopSettings", "TrainerSettings"],
        trainer=["Trainer"],
    )

__all__ = [
    "CheckpointEvent",
    "CheckpointPlan",
    "EpochEvent",
    "EvalEvent",
    "Event",
    "ExecutionSettings",
    "LoopSettings",
    "Observer",
    "Result",
    "StepEvent",
    "Stop",
    "StopEvent",
    "StopSettings",
    "Trainer",
    "TrainerSettings",
    "eval_mode",
    "load_weights",
    "make_weighted_loss",
    "stream_seed",
]
