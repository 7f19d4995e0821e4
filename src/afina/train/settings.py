"""What of a trainer's settings cannot be, and what must be the same when a run is resumed."""

from collections.abc import Mapping
from typing import Any

from afina.errors import ConfigError

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

CHOICES = {
    "batchnorm": ("microbatch", "window"),
    "precision": ("float32", "bf16", "fp16"),
    "averaging": ("ema", "swa", None),
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
    "monitor",
)


def check_settings(given: Mapping[str, Any]) -> None:
    """Refuse what cannot be.

    Args:
        given: the trainer's settings by name.

    Raises:
        ConfigError: a setting that cannot be; the message names it.
    """
    for name in COUNTS:
        value = given[name]
        if value is not None and not isinstance(value, str) and value < 1:
            raise ConfigError(f"{name} must be at least 1, however: {name}={value}.")
    for name, choices in CHOICES.items():
        if given[name] not in choices:
            raise ConfigError(
                f"{name} must be one of {', '.join(map(repr, choices))}, however: "
                f"{name}={given[name]!r}."
            )
    _check_sizes(given["batch_size"], given["microbatch_size"])
    _check_optimizer(given["optimizer"], given["lr"], given["weight_decay"])
    monitor = given["monitor"]
    if given["higher_is_better"] is None and not monitor.endswith("loss"):
        raise ConfigError(
            f"higher_is_better must be given for a metric that is no loss, however: "
            f"{monitor=}. Pass higher_is_better=True or False."
        )


def settings_to_keep(given: Mapping[str, Any], steps_per_epoch: int | None) -> dict[str, Any]:
    """Give what must be the same at resume for the run to be the same run.

    A callable cannot be compared across processes: it stands as none.
    """
    kept = {name: given[name] for name in SAME_AT_RESUME}
    kept["lr"] = DEFAULT_LR if kept["lr"] is None else kept["lr"]
    kept["weight_decay"] = kept["weight_decay"] or 0.0
    for name in ("optimizer", "schedule"):
        if not isinstance(kept[name], str):
            kept[name] = None
    return {**kept, "steps_per_epoch": steps_per_epoch}


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
