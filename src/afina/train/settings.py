"""What of a trainer's settings cannot be, and what must be the same when a run is resumed."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DistributedSampler

from afina.errors import ConfigError
from afina.optim import Average, make_optimizer, make_schedule
from afina.train.precision import FIRST_SCALE
from afina.train.processes import Processes
from afina.train.state import TrainState
from afina.train.stopping import Stopping, make_extension

DEFAULT_LR = 1e-3

COUNTS = (
    "batch_size",
    "microbatch_size",
    "max_epochs",
    "max_steps",
    "eval_every",
    "patience",
    "log_every",
)

NOT_NEGATIVE = (
    "lr",
    "weight_decay",
    "l2",
    "patience_share",
    "min_delta",
    "max_grad_norm",
    "seed",
)

CHOICES = {
    "batchnorm": ("microbatch", "window"),
    "precision": ("float32", "bf16", "fp16"),
    "averaging": ("ema", "swa", None),
    "sharding": ("fsdp2", None),
}

SAME_AT_RESUME = (
    "seed",
    "batch_size",
    "microbatch_size",
    "batchnorm",
    "precision",
    "compile",
    "averaging",
    "ema_decay",
    "averaging_start",
    "optimizer",
    "lr",
    "weight_decay",
    "momentum",
    "beta1",
    "beta2",
    "l2",
    "max_grad_norm",
    "schedule",
    "warmup_steps",
    "patience",
    "patience_share",
    "min_delta",
    "patience_extends_while",
    "patience_budget",
    "monitor",
)


def check_settings(given: Mapping[str, Any]) -> None:
    """Refuse what cannot be.

    Args:
        given: the trainer's settings by name.

    Raises:
        ConfigError: a setting that cannot be; the message names it.
    """
    _check_numbers(given)
    for name, choices in CHOICES.items():
        if given[name] not in choices:
            raise ConfigError(
                f"{name} must be one of {', '.join(map(repr, choices))}, however: "
                f"{name}={given[name]!r}."
            )
    _check_sizes(given["batch_size"], given["microbatch_size"])
    _check_optimizer(given["optimizer"], given["lr"], given["weight_decay"])
    first_state(given)  # averages and patience check their own
    _check_execution(given)
    _check_sharding(given)
    monitor = given["monitor"]
    if given["higher_is_better"] is None and not monitor.endswith("loss"):
        raise ConfigError(
            f"higher_is_better must be given for a metric that is no loss, however: "
            f"{monitor=}. Pass higher_is_better=True or False."
        )


def _check_numbers(given: Mapping[str, Any]) -> None:
    for name in COUNTS:
        value = given[name]
        if value is None or (name == "microbatch_size" and isinstance(value, str)):
            continue
        if type(value) is not int or value < 1:
            raise ConfigError(
                f"{name} must be a whole number of at least 1, however: {name}={value!r}."
            )
    for name in NOT_NEGATIVE:
        value = given[name]
        if value is not None and not (isinstance(value, float | int) and 0 <= value < math.inf):
            raise ConfigError(f"{name} must be a number of at least 0, however: {name}={value!r}.")
    if type(given["seed"]) is not int:
        raise ConfigError(f"seed must be a whole number, however: {given['seed']!r}.")
    if given["max_grad_norm"] == 0:
        raise ConfigError("max_grad_norm must be above 0, however: 0. None leaves it out.")


def settings_to_keep(given: Mapping[str, Any], steps_per_epoch: int | None) -> dict[str, Any]:
    """Return what must be the same at resume for the run to be the same run.

    A callable cannot be compared across processes: it stands as none.
    """
    kept = {name: given[name] for name in SAME_AT_RESUME}
    kept["lr"] = DEFAULT_LR if kept["lr"] is None else kept["lr"]
    kept["weight_decay"] = kept["weight_decay"] or 0.0
    for name in ("optimizer", "schedule"):
        if not isinstance(kept[name], str):
            kept[name] = None
    return {**kept, "steps_per_epoch": steps_per_epoch}


def first_state(given: Mapping[str, Any]) -> TrainState:
    """Return the state of a run that has not begun."""
    extension = make_extension(
        given["patience_extends_while"],
        patience=given["patience"],
        budget=given["patience_budget"],
    )
    stopping = Stopping(
        bool(given["higher_is_better"]),
        given["patience"],
        given["min_delta"],
        patience_share=given["patience_share"],
        extension=extension,
    )
    size = given["microbatch_size"]
    state = TrainState(stopping, microbatch_size=None if isinstance(size, str) else size)
    if given["precision"] == "fp16":
        state.loss_scale = FIRST_SCALE
    if given["averaging"] is not None:
        state.average = Average(given["averaging"], decay=given["ema_decay"])
    return state


def chosen_optimizer(model: nn.Module, given: Mapping[str, Any]) -> Optimizer:
    """Return the optimizer that the settings name, make or hold."""
    wanted = given["optimizer"]
    if isinstance(wanted, Optimizer):
        own = {id(p) for p in model.parameters()}
        if not any(id(p) in own for group in wanted.param_groups for p in group["params"]):
            raise ConfigError(
                "The optimizer must hold parameters of the model, however: it has none of them. "
                "Make it from model.parameters() of the model that is trained."
            )
        return wanted
    if not isinstance(wanted, str):
        made: Optimizer = wanted(model)
        return made
    return make_optimizer(
        wanted,  # type: ignore[arg-type] # checked by make_optimizer
        model,
        lr=DEFAULT_LR if given["lr"] is None else given["lr"],
        weight_decay=given["weight_decay"] or 0.0,
        momentum=given["momentum"],
        beta1=given["beta1"],
        beta2=given["beta2"],
    )


def chosen_schedule(given: Mapping[str, Any], total_steps: int | None) -> Callable[[int], float]:
    """Return the schedule that the settings name or hold.

    Args:
        total_steps: steps of the whole run; none: not known.

    Raises:
        ConfigError: the schedule needs that number.
    """
    wanted = given["schedule"]
    if callable(wanted):
        schedule: Callable[[int], float] = wanted
        return schedule
    if total_steps is None and wanted != "constant":
        raise ConfigError(
            f"schedule={wanted!r} needs the number of steps, however: the data does "
            "not say its length. Pass max_steps."
        )
    return make_schedule(wanted, total_steps=total_steps or 1, warmup_steps=given["warmup_steps"])


def check_processes(
    given: Mapping[str, Any], data: Any, processes: Processes, *, kept: Mapping[str, Any]
) -> None:
    """Refuse what several processes cannot do, or what they were not all told alike.

    Args:
        given: the trainer's settings by name.
        data: the training data, as passed.
        processes: all of them call this together.
        kept: what must be the same in every process.

    Raises:
        ConfigError: the message names it; all processes raise together.
    """
    if processes.alone:
        return
    if given["batchnorm"] == "window" and given["microbatch_size"] == "auto":
        raise ConfigError(
            'batchnorm="window" needs micro-batches of a given size in several processes, however: '
            'microbatch_size="auto". Give a number of rows.'
        )
    if isinstance(getattr(data, "sampler", None), DistributedSampler):
        raise ConfigError(
            "Every process must be given all rows, as the trainer gives each its share, however: "
            "the loader has a DistributedSampler. Leave the sampler out."
        )
    first = processes.broadcast_json(kept)
    other = [f"{name} is {first.get(name)!r} in one" for name in kept if first[name] != kept[name]]
    if processes.agree([len(other)])[0]:
        shown = ", ".join(other) or "one of them was not"
        raise ConfigError(f"All processes must be started alike, however: {shown}.")


def _check_execution(given: Mapping[str, Any]) -> None:
    """Refuse two ways of running a micro-batch at once."""
    ways = {
        "compile=True": given["compile"],
        "activation_checkpointing=True": given["activation_checkpointing"],
        'batchnorm="window"': given["batchnorm"] == "window",
    }
    found = [name for name, asked in ways.items() if asked]
    if len(found) > 1:
        raise ConfigError(
            f"{found[0]} does not go with {found[1]}, however: both are asked for. Leave out one."
        )


def _check_sharding(given: Mapping[str, Any]) -> None:
    if given["sharding"] is None:
        return
    refused = {
        "compile=True": given["compile"],
        "activation_checkpointing=True": given["activation_checkpointing"],
        'batchnorm="window"': given["batchnorm"] == "window",
        f"averaging={given['averaging']!r}": given["averaging"] is not None,
        'precision="fp16"': given["precision"] == "fp16",
        'microbatch_size="auto"': given["microbatch_size"] == "auto",
        "patience_extends_while": given["patience_extends_while"] is not None,
        'optimizer="shampoo"': given["optimizer"] == "shampoo",
        "an optimizer made before": isinstance(given["optimizer"], Optimizer),
    }
    found = [name for name, there in refused.items() if there]
    if found:
        raise ConfigError(
            f'sharding="fsdp2" does not go with {found[0]}. Leave out one of the two '
            "(an optimizer can be given as a callable that makes it from the model)."
        )


def _check_sizes(batch_size: int | None, microbatch_size: Any) -> None:
    if isinstance(microbatch_size, str) and microbatch_size != "auto":
        raise ConfigError(
            f"microbatch_size must be a number of rows, 'auto' or None, however: "
            f"{microbatch_size!r}."
        )
    if isinstance(microbatch_size, int) and batch_size and microbatch_size > batch_size:
        raise ConfigError(
            f"microbatch_size must not exceed batch_size, however: {microbatch_size=}, "
            f"{batch_size=}. Use {batch_size} or less."
        )


def _check_optimizer(optimizer: Any, lr: float | None, weight_decay: float | None) -> None:
    if isinstance(optimizer, type):
        raise ConfigError(
            "optimizer must be a name, an optimizer, or a callable that makes one from the model, "
            f"however: the class {optimizer.__name__}. Pass "
            f"lambda model: {optimizer.__name__}(model.parameters(), ...)."
        )
    if not isinstance(optimizer, str) and (lr is not None or weight_decay is not None):
        raise ConfigError(
            "lr and weight_decay are for a named optimizer, however: they are given beside an "
            "optimizer of your own. Set them there."
        )
