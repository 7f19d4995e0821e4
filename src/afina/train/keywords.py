"""Turn the trainer's keywords into checked settings."""

from typing import Any

import numpy as np
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from afina.declaration import RESOLVED, SAME, declarations
from afina.errors import ConfigError
from afina.train.settings import TrainerSettings


def form_settings(keywords: Any) -> TrainerSettings:
    """Build the settings from the trainer's attributes, and refuse invalid ones.

    An optimizer or a schedule of the user's own is not among them, because it has no name.

    Raises:
        ConfigError: a setting is invalid, or two contradict each other.
    """
    values = {}
    for name, declared in declarations(TrainerSettings).items():
        setting = declared.setting
        if setting.scope == "table":
            continue
        value = getattr(keywords, name)
        if isinstance(value, np.generic):  # a number computed by numpy, or read from a frame
            value = value.item()
            setattr(keywords, name, value)
        if setting.trainer_takes and not isinstance(value, str):
            continue
        if isinstance(value, str) and value in RESOLVED and not setting.keeps_auto:
            allowed = TrainerSettings.describe_setting(declared)
            raise ConfigError(
                f"{name} must be {allowed}",
                got=f"{name}={value!r}",
                fix=f"The default is {declared.trainer_default!r}.",
            )
        values[name] = (
            setting.none_means if value is None and setting.none_means is not SAME else value
        )
    _check_own_optimizer(keywords.optimizer, keywords.lr, keywords.weight_decay)
    _check_own_schedule(keywords.schedule, keywords.optimizer, keywords.warmup_steps)
    settings = TrainerSettings(**values)
    _check_sizes(keywords.batch_size, settings.microbatch_size)
    if keywords.batch_size is not None and settings.batches_per_step > 1:
        raise ConfigError(
            "batches_per_step cannot be combined with batch_size",
            but="both are set",
            fix="Leave out one: both say which batches make up a step.",
        )
    _check_execution(settings)
    _check_sharding(settings, keywords.optimizer)
    _check_stop(settings)
    return settings


def keywords_of(*settings: object) -> dict[str, Any]:
    """Return settings as keywords of the trainer, omitting those that it does not take."""
    return {
        name: getattr(one, name)
        for name, declared in declarations(TrainerSettings).items()
        if declared.setting.scope != "table"
        for one in settings
        if hasattr(one, name)
    }


def _check_own_optimizer(optimizer: Any, lr: float | None, weight_decay: float | None) -> None:
    if isinstance(optimizer, type):
        raise ConfigError(
            "optimizer must be a name, an optimizer, or a callable that makes one from the model",
            got=f"the class {optimizer.__name__}",
            fix=f"Pass lambda model: {optimizer.__name__}(model.parameters(), ...).",
        )
    if not isinstance(optimizer, str | Optimizer) and not callable(optimizer):
        raise ConfigError(
            "optimizer must be a name, an optimizer, or a callable that makes one from the model",
            got=type(optimizer).__name__,
            fix="Put all parameters in the groups of one optimizer.",
        )
    if not isinstance(optimizer, str) and (lr is not None or weight_decay is not None):
        raise ConfigError(
            "lr and weight_decay must be left out with an optimizer of your own",
            got=f"{lr=}, {weight_decay=}",
            fix="Set them in that optimizer.",
        )


def _check_own_schedule(schedule: Any, optimizer: Any, warmup_steps: int) -> None:
    if isinstance(schedule, str):
        return
    scheduler = isinstance(schedule, LRScheduler)
    if isinstance(schedule, type) or not (scheduler or callable(schedule)):
        raise ConfigError(
            "schedule must be a name, a function of the step, or a torch scheduler",
            got=f"the class {schedule.__name__}"
            if isinstance(schedule, type)
            else type(schedule).__name__,
            fix='Pass schedule="cosine", or a scheduler made from the optimizer, for example.',
        )
    if scheduler and not isinstance(optimizer, Optimizer):
        raise ConfigError(
            f"{type(schedule).__name__} must be passed together with its optimizer",
            got=f"{optimizer=!r:.80}",
            fix="Pass the optimizer from which it was made as optimizer=.",
        )
    if warmup_steps:
        raise ConfigError(
            "warmup_steps works only with schedules chosen by name",
            got=f"{warmup_steps=}",
            fix="Let the schedule itself begin with a warm-up.",
        )


def _check_sizes(batch_size: int | None, microbatch_size: int | str | None) -> None:
    if isinstance(microbatch_size, int) and batch_size and microbatch_size > batch_size:
        raise ConfigError(
            "microbatch_size must not exceed batch_size",
            got=f"{microbatch_size=}, {batch_size=}",
            fix=f"Use {batch_size} or less.",
        )


def _check_execution(settings: TrainerSettings) -> None:
    """Refuse to combine two ways of running a micro-batch."""
    chosen = [name for name, is_chosen in _ways(settings).items() if is_chosen]
    if len(chosen) > 1:
        raise ConfigError(
            f"{chosen[0]} cannot be combined with {chosen[1]}",
            but="both are set",
            fix="Leave out one.",
        )


def _check_sharding(settings: TrainerSettings, optimizer: Any) -> None:
    if settings.sharding is None:
        return
    refused = _ways(settings) | {
        f"averaging={settings.averaging!r}": settings.averaging is not None,
        'precision="fp16"': settings.precision == "fp16",
        'microbatch_size="auto"': settings.microbatch_size == "auto",
        "patience_extends_while": settings.patience_extends_while is not None,
        'optimizer="shampoo"': optimizer == "shampoo",
        "an optimizer made in advance": isinstance(optimizer, Optimizer),
    }
    chosen = [name for name, is_chosen in refused.items() if is_chosen]
    if chosen:
        raise ConfigError(
            f'sharding="fsdp2" cannot be combined with {chosen[0]}',
            fix="Leave out one of the two (an optimizer can be given as a callable that makes it "
            "from the model).",
        )


def _ways(settings: TrainerSettings) -> dict[str, bool]:
    return {
        "compile=True": settings.compile,
        "activation_checkpointing=True": settings.activation_checkpointing,
        'batchnorm="window"': settings.batchnorm == "window",
    }


def _check_stop(settings: TrainerSettings) -> None:
    if settings.patience_extends_while is not None and settings.patience is None:
        raise ConfigError(
            "patience_extends_while needs a patience to extend",
            got="patience=None",
            fix="Pass the number of evaluations without improvement to wait for.",
        )
    if settings.higher_is_better is None and not settings.monitor.endswith("loss"):
        raise ConfigError(
            "higher_is_better must be set if monitor is not a loss",
            got=f"monitor={settings.monitor!r}",
            fix="Pass higher_is_better=True or False.",
        )
