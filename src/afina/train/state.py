"""The state of a run: all that a resume cannot compute from the settings and the step number.

Learning rate, order of rows and random numbers are functions of (settings, step), so they are not
here. The tensors of the model and the optimizer are read directly when a checkpoint is written.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from afina.errors import CheckpointError
from afina.optim import Average
from afina.train.events import StopEvent
from afina.train.stopping import Stopping

Weights = dict[str, Tensor]


@dataclass
class TrainState:
    """How far a run has come.

    Args:
        stopping: the best evaluation so far, and how long ago it was.
        step: optimizer steps taken.
        epoch: epochs finished.
        step_in_epoch: steps taken in the current epoch.
        epoch_loss: sum of the current epoch's losses times their weights.
        epoch_weight: sum of these weights.
        microbatch_size: most rows per forward; `"auto"` halves it when memory runs out.
        loss_scale: factor of the loss in fp16; None in other precisions.
        n_unscaled: steps since the scale last changed.
        best_weights: the model's state when the monitored metric was best.
        average: the running average of the weights; None without averaging.
        stop: set when training has ended.
    """

    stopping: Stopping
    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    epoch_loss: float = 0.0
    epoch_weight: float = 0.0
    microbatch_size: int | None = None
    loss_scale: float | None = None
    n_unscaled: int = 0
    best_weights: Weights | None = field(default=None, repr=False)
    average: Average | None = field(default=None, repr=False)
    stop: StopEvent | None = None

    def averaged(self, model: nn.Module) -> AbstractContextManager[None]:
        """Swap the average of the weights, if there is one, into the model for the `with` block."""
        return nullcontext() if self.average is None else self.average.swapped_in(model)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the weights, ready for JSON (floats survive it bit for bit)."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "epoch_loss": self.epoch_loss,
            "epoch_weight": self.epoch_weight,
            "microbatch_size": self.microbatch_size,
            "loss_scale": self.loss_scale,
            "n_unscaled": self.n_unscaled,
            "n_averaged": 0 if self.average is None else self.average.n_updates,
            "stopping": self.stopping.to_dict(),
            "stop": None if self.stop is None else self.stop._asdict(),
        }

    def restore(self, d: Mapping[str, Any], trees: Mapping[str, Any]) -> None:
        """Restore the state in which `to_dict` was called.

        Args:
            d: what `to_dict` returned.
            trees: weights by name: `best` and `average`, if there are any.

        Raises:
            CheckpointError: `d` is not from `to_dict`.
        """
        try:
            self._restore(d, trees)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                "a checkpoint must hold the state of a run",
                but=f"restoring it failed with {error!r:.200}",
                fix="Use another checkpoint.",
            ) from error

    def _restore(self, d: Mapping[str, Any], trees: Mapping[str, Any]) -> None:
        self.step, self.epoch = int(d["step"]), int(d["epoch"])
        self.step_in_epoch = int(d["step_in_epoch"])
        self.epoch_loss, self.epoch_weight = float(d["epoch_loss"]), float(d["epoch_weight"])
        self.microbatch_size = d["microbatch_size"]
        self.loss_scale, self.n_unscaled = d["loss_scale"], int(d["n_unscaled"])
        self.stopping.restore(d["stopping"])
        self.stop = None if d["stop"] is None else StopEvent(**d["stop"])
        self.best_weights = trees.get("best")
        if self.average is not None:
            self.average.n_updates = int(d["n_averaged"])
            self.average.values = dict(trees.get("average", {}))


def copied_state(model: nn.Module) -> Weights:
    """Copy a model's `state_dict`."""
    return {
        name: item.detach().clone() if isinstance(item, Tensor) else item
        for name, item in model.state_dict().items()
    }
