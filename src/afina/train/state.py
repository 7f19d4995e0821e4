"""What a resume needs and cannot compute again from the settings and the step number.

Learning rate, order of rows and random numbers are functions of (settings, step), so they are not
here. The optimizer's and the model's tensors are read from them when a checkpoint is written.
"""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from afina.train.events import StopEvent
from afina.train.stopping import Stopping

Weights = dict[str, Tensor]


@dataclass
class TrainState:
    """Where a run is.

    Args:
        stopping: what is best so far.
        step: optimizer steps taken.
        epoch: whole epochs finished.
        step_in_epoch: steps taken in the epoch that is going on.
        epoch_loss: sum of that epoch's losses times their weights.
        epoch_weight: sum of those weights.
        best_weights: the model's state when the monitored metric was best.
        stop: set when training has ended.
    """

    stopping: Stopping
    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    epoch_loss: float = 0.0
    epoch_weight: float = 0.0
    best_weights: Weights | None = field(default=None, repr=False)
    stop: StopEvent | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give everything but the weights, ready for JSON (floats come back bit for bit)."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "epoch_loss": self.epoch_loss,
            "epoch_weight": self.epoch_weight,
            "stopping": self.stopping.to_dict(),
            "stop": None if self.stop is None else self.stop._asdict(),
        }

    @classmethod
    def from_dict(cls, d: dict[str, Any], best_weights: Weights | None) -> "TrainState":
        """Undo `to_dict`."""
        stop = d["stop"]
        return cls(
            stopping=Stopping(**d["stopping"]),
            step=int(d["step"]),
            epoch=int(d["epoch"]),
            step_in_epoch=int(d["step_in_epoch"]),
            epoch_loss=float(d["epoch_loss"]),
            epoch_weight=float(d["epoch_weight"]),
            best_weights=best_weights,
            stop=None if stop is None else StopEvent(**stop),
        )
