"""Build the parts of a run from the settings: optimizer, schedule, state, settings record."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DistributedSampler

from afina.declaration import declarations, resolved
from afina.errors import ConfigError
from afina.optim import Average, OneSidedShampoo, make_schedule, optimizer_from
from afina.process_state import layers_take_turns, own_numbers, torch_threads
from afina.train import rng
from afina.train.batches import EVAL_ROWS
from afina.train.evaluate import predict_batches
from afina.train.gate import EvalRows, eval_blocks, input_batches
from afina.train.grokking import SignReader, make_sign_reader
from afina.train.loop import TrainSetup
from afina.train.loss import WeightedLoss
from afina.train.precision import FIRST_SCALE
from afina.train.processes import Processes
from afina.train.settings import TrainerSettings
from afina.train.state import TrainState
from afina.train.stopping import Stopping
from afina.train.train_mode import train_mode
from afina.train.trained_module import check_trains_loss, with_loss

OptimizerLike: TypeAlias = str | Optimizer | Callable[[nn.Module], Optimizer]
Schedule: TypeAlias = Callable[[int], float] | LRScheduler


@contextmanager
def training_conditions(model: nn.Module, *others: nn.Module) -> Iterator[None]:
    """Train reproducibly in the `with` block; restore modes and random numbers afterwards.

    Args:
        model: the network to train.
        others: modules that are trained with it, such as a loss with parameters.

    Raises:
        ConfigError: a module was made in torch's inference mode, so it cannot learn.
    """
    for module in (model, *others):
        check_learns(module)
    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        torch_threads(None),
        layers_take_turns(),
        own_numbers(),
        rng.deterministic(),
        ExitStack() as stack,
    ):
        for module in (model, *others):
            stack.enter_context(train_mode(module))
        yield


def check_learns(model: nn.Module) -> None:
    """Raise a ConfigError if a parameter or buffer was made in torch's inference mode."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_inference():
            raise ConfigError(
                "The model must be made outside of torch.inference_mode() to be trained",
                but=f"{name!r} was made inside",
                fix="Make it outside, or with torch.no_grad() in place of torch.inference_mode().",
            )


def choose_optimizer(
    model: nn.Module, optimizer: OptimizerLike, settings: TrainerSettings, loss: WeightedLoss
) -> tuple[Optimizer, nn.Module]:
    """Return the optimizer that was named or passed, or call the callable that makes it.

    Args:
        loss: the loss, whose parameters are trained like the model's.

    Returns:
        The optimizer, and what it trains: the model, alone or together with the loss.

    Raises:
        ConfigError: the optimizer holds none of the model's parameters or not all of the loss's,
            needs a closure, or cannot be sharded.
    """
    trained = with_loss(model, loss)
    if isinstance(optimizer, str):
        chosen = optimizer_from(settings, trained)
    elif isinstance(optimizer, Optimizer):
        chosen = optimizer
        own = {id(p) for p in model.parameters()}
        if not any(id(p) in own for group in chosen.param_groups for p in group["params"]):
            raise ConfigError(
                "The optimizer must hold parameters of the model",
                but="it has none of them",
                fix="Make it from the parameters of the model that is to be trained.",
            )
    else:
        chosen = optimizer(model)
    if not isinstance(chosen, Optimizer):
        raise ConfigError(
            "optimizer must be a callable that returns a torch optimizer",
            but=f"it returned {type(chosen).__name__}",
            fix="Return torch.optim.SGD(model.parameters(), lr=0.1), for example.",
        )
    _check_needs_no_closure(chosen)
    check_trains_loss(trained, chosen)
    trained = with_loss(model, loss, chosen)
    if settings.sharding is not None and trained is not model:
        raise ConfigError(
            'sharding="fsdp2" cannot be combined with a loss that has parameters or buffers',
            fix="Leave out one of the two.",
        )
    if settings.sharding is not None and isinstance(chosen, OneSidedShampoo):
        raise ConfigError(
            'sharding="fsdp2" cannot be combined with shampoo', fix="Leave out one of the two."
        )
    return chosen, trained


def _check_needs_no_closure(optimizer: Optimizer) -> None:
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ConfigError(
            "optimizer.step must not need a closure, because a step has one gradient",
            but=f"{type(optimizer).__name__} computes the loss several times in a step",
            fix="Use another optimizer, such as torch.optim.AdamW.",
        )


def choose_schedule(
    schedule: str | Schedule, settings: TrainerSettings, total_steps: int | None
) -> Schedule:
    """Return the schedule that was named or passed.

    Args:
        total_steps: steps of the whole run. None: unknown.

    Raises:
        ConfigError: the schedule needs the number of steps, which is unknown.
    """
    if not isinstance(schedule, str):
        return schedule
    if total_steps is None and schedule != "constant":
        raise ConfigError(
            f"schedule={schedule!r} needs the number of steps",
            but="the number of batches or rows in the data is unknown",
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
    """Return the function that measures the signs of late generalization, or None if not needed.

    Args:
        val: the validation data; the outputs for its first rows are measured.
        rows: number of rows that go through the model at a time.
    """
    if setup.settings.patience_extends_while is None:
        return None
    device = device_of(setup.model)

    def outputs() -> Any:
        (first,) = next(iter(eval_blocks(val, EvalRows(EVAL_ROWS), device)))
        return predict_batches(setup.model, input_batches(first.x, rows, device))

    return make_sign_reader(
        setup.model, setup.optimizer, l2_params=setup.l2_params, outputs=outputs
    )


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's first parameter, or the CPU if it has none."""
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
    """Return the settings that must be the same at resume.

    A callable cannot be compared between processes, so it is recorded as None.
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
    """Refuse settings that do not work with several processes, or that differ between them.

    Args:
        data: the training data, as passed.
        processes: the processes of the run; all of them call this together.
        record: what must be the same in every process.

    Raises:
        ConfigError: the message names the setting; all processes raise together.
    """
    if processes.alone:
        return
    if settings.batchnorm == "window" and settings.microbatch_size == "auto":
        raise ConfigError(
            'batchnorm="window" in several processes needs a fixed microbatch_size',
            got='microbatch_size="auto"',
            fix="Set microbatch_size to a number of rows.",
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
            fix="Start them with the same command.",
        )
