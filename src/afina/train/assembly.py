"""The parts of a run, made from the settings: optimizer, schedule, state, and what it records."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DistributedSampler

from afina.declaration import declarations, resolved
from afina.errors import ConfigError
from afina.optim import Average, OneSidedShampoo, make_schedule, optimizer_from
from afina.train import rng
from afina.train.batches import EVAL_ROWS
from afina.train.evaluate import predict_batches
from afina.train.gate import EvalRows, eval_batches, input_batches
from afina.train.grokking import SignReader, make_sign_reader
from afina.train.loop import TrainSetup
from afina.train.precision import FIRST_SCALE
from afina.train.processes import Processes
from afina.train.settings import TrainerSettings
from afina.train.state import TrainState
from afina.train.stopping import Stopping
from afina.train.train_mode import train_mode

OptimizerLike: TypeAlias = str | Optimizer | Callable[[nn.Module], Optimizer]
Schedule: TypeAlias = Callable[[int], float]


@contextmanager
def training_conditions(model: nn.Module) -> Iterator[None]:
    """Train reproducibly inside; afterwards, modes and random numbers are as they were."""
    with rng.isolated(), rng.deterministic(), train_mode(model):
        yield


def choose_optimizer(
    model: nn.Module, optimizer: OptimizerLike, settings: TrainerSettings
) -> Optimizer:
    """Return the optimizer that was named or passed, or make it from the callable.

    Raises:
        ConfigError: it holds no parameter of the model, or cannot be sharded.
    """
    if isinstance(optimizer, str):
        chosen = optimizer_from(settings, model)
    elif isinstance(optimizer, Optimizer):
        chosen = optimizer
        own = {id(p) for p in model.parameters()}
        if not any(id(p) in own for group in chosen.param_groups for p in group["params"]):
            raise ConfigError(
                "The optimizer must hold parameters of the model",
                but="it has none of them",
                fix="Make it from model.parameters() of the model that is trained.",
            )
    else:
        chosen = optimizer(model)
    if settings.sharding is not None and isinstance(chosen, OneSidedShampoo):
        raise ConfigError(
            'sharding="fsdp2" does not go with shampoo', fix="Leave out one of the two."
        )
    return chosen


def choose_schedule(
    schedule: str | Schedule, settings: TrainerSettings, total_steps: int | None
) -> Schedule:
    """Return the schedule that was named or passed.

    Args:
        total_steps: steps of the whole run. None: not known.

    Raises:
        ConfigError: the schedule needs that number.
    """
    if not isinstance(schedule, str):
        return schedule
    if total_steps is None and schedule != "constant":
        raise ConfigError(
            f"schedule={schedule!r} needs the number of steps",
            but="the data does not say its length",
            fix="Pass max_steps.",
        )
    return make_schedule(
        settings.schedule, total_steps=total_steps or 1, warmup_steps=settings.warmup_steps
    )


def first_state(settings: TrainerSettings) -> TrainState:
    """Return the state of a run that has not begun."""
    size = settings.microbatch_size
    state = TrainState(Stopping(settings), microbatch_size=None if isinstance(size, str) else size)
    if settings.precision == "fp16":
        state.loss_scale = FIRST_SCALE
    if settings.averaging is not None:
        state.average = Average(settings.averaging, decay=resolved(settings.ema_decay))
    return state


def choose_sign_reader(setup: TrainSetup, val: Any, rows: EvalRows) -> SignReader | None:
    """Return what reads the signs of late generalization, or None if nothing asks for them.

    Args:
        val: the validation data; the outputs of its first rows are followed.
        rows: how many go through the model at a time.
    """
    if setup.settings.patience_extends_while is None:
        return None
    device = device_of(setup.model)

    def outputs() -> Any:
        x = next(iter(eval_batches(val, EvalRows(EVAL_ROWS), device))).x
        return predict_batches(setup.model, input_batches(x, rows, device))

    return make_sign_reader(
        setup.model, setup.optimizer, l2_params=setup.l2_params, outputs=outputs
    )


def device_of(model: nn.Module) -> torch.device:
    """Return where a model's first parameter is; the CPU if it has none."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def resume_record(
    settings: TrainerSettings,
    *,
    batch_size: int | None,
    optimizer: OptimizerLike,
    schedule: str | Schedule,
    steps_per_epoch: int | None,
) -> dict[str, Any]:
    """Return what must be the same at resume for the run to be the same run.

    A callable cannot be compared across processes: it is recorded as None.
    """
    record = {
        name: getattr(settings, name)
        for name, declared in declarations(TrainerSettings).items()
        if declared.setting.same_at_resume
    }
    return record | {
        "batch_size": batch_size,
        "optimizer": optimizer if isinstance(optimizer, str) else None,
        "schedule": schedule if isinstance(schedule, str) else None,
        "higher_is_better": bool(settings.higher_is_better),
        "steps_per_epoch": steps_per_epoch,
    }


def check_processes(
    settings: TrainerSettings, data: Any, processes: Processes, *, record: Mapping[str, Any]
) -> None:
    """Refuse what several processes cannot do, and settings in which they differ.

    Args:
        data: the training data, as passed.
        processes: all of them call this together.
        record: what must be the same in every process.

    Raises:
        ConfigError: the message names it; all processes raise together.
    """
    if processes.alone:
        return
    if settings.batchnorm == "window" and settings.microbatch_size == "auto":
        raise ConfigError(
            'batchnorm="window" needs micro-batches of a given size in several processes',
            got='microbatch_size="auto"',
            fix="Give a number of rows.",
        )
    if isinstance(getattr(data, "sampler", None), DistributedSampler):
        raise ConfigError(
            "Every process must be given all rows, because the trainer gives each its share",
            but="the loader has a DistributedSampler",
            fix="Leave the sampler out.",
        )
    first = processes.broadcast_json(record)
    other = [
        f"{name} is {first.get(name)!r} in one" for name in record if first[name] != record[name]
    ]
    if processes.agree([len(other)])[0]:
        shown = ", ".join(other) or "another process was not"
        raise ConfigError(
            "All processes must be started with the same settings",
            but=shown,
            fix="Start them by the same command.",
        )
