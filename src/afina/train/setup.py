"""Build what a fit trains, and how, from the trainer's settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from afina.optim.groups import decayed_parameters
from afina.train.assembly import (
    OptimizerLike,
    Schedule,
    choose_optimizer,
    choose_schedule,
    device_of,
)
from afina.train.batches import Data
from afina.train.gradient_plan import planned_gradient
from afina.train.lengths import merged_steps
from afina.train.loop import TrainSetup, most_steps
from afina.train.loss import WeightedLoss
from afina.train.processes import Processes
from afina.train.rates import kept_rates
from afina.train.settings import TrainerSettings
from afina.train.trained_module import TrainedModule


@contextmanager
def made_setup(
    model: nn.Module,
    loss: WeightedLoss,
    settings: TrainerSettings,
    *,
    optimizer: OptimizerLike,
    schedule: str | Schedule,
    batch_size: int | None,
    data: Any,
    source: Data,
    processes: Processes,
) -> Iterator[TrainSetup]:
    """Return what is trained and how, without observers.

    Afterwards, the optimizer's learning rates and the scheduler are restored.

    Args:
        data: training data, as passed.
        source: the same data, as the loop reads it.
    """
    chosen, trained = choose_optimizer(model, optimizer, settings, loss)
    if isinstance(trained, TrainedModule):
        processes.broadcast_([*trained.parameters(), *trained.buffers()])
    trained.zero_grad(set_to_none=True)
    n_steps = most_steps(settings, source.steps_per_epoch or merged_steps(data, batch_size))
    factor = choose_schedule(schedule, settings, n_steps)
    device = device_of(model)
    with (
        kept_rates(chosen, schedule),
        planned_gradient(trained, loss, settings, device, processes) as gradient,
    ):
        yield TrainSetup(
            model=trained,
            gradient=gradient,
            optimizer=chosen,
            lrs=[group["lr"] for group in chosen.param_groups],
            schedule=factor,
            data=source,
            settings=settings,
            l2_params=decayed_parameters(trained) if settings.l2 else (),
        )
