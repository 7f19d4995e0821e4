"""Settings that contradict each other, found before anything is read."""

from dataclasses import replace

from afina.config.sections import Config, TrainConfig
from afina.errors import ConfigError


def settle(config: Config) -> Config:
    """Check settings against each other, and give them as they will be used.

    One setting changes: adam has no decoupled decay, so with `optimizer = "adam"` a
    `weight_decay` at its default becomes 0. Any other value above 0 is refused.

    Raises:
        ConfigError: two settings that cannot go together.

    Example:
        >>> from afina.config import Config, TrainConfig
        >>> settle(Config(train=TrainConfig(optimizer="adam"))).train.weight_decay
        0.0
    """
    _check_batches(config)
    _check_table(config)
    _check_model(config)
    train = config.train
    if train.optimizer == "adam" and train.weight_decay > 0:
        if train.weight_decay != TrainConfig().weight_decay:
            raise ConfigError(
                "train.weight_decay must be 0 with train.optimizer = adam, which has no decay of "
                f"its own, however: weight_decay={train.weight_decay}. "
                "Use train.optimizer = adamw, or train.l2 for a penalty in the loss."
            )
        return replace(config, train=replace(train, weight_decay=0.0))
    return config


def _check_batches(config: Config) -> None:
    batch, micro = config.train.batch_size, config.train.microbatch_size
    if isinstance(batch, int) and isinstance(micro, int) and micro > batch:
        raise ConfigError(
            "train.microbatch_size must not exceed train.batch_size, "
            f"however: microbatch_size={micro}, batch_size={batch}. Use {batch} or less."
        )
    normalizes = config.model.norm == "batch" or config.preprocess.scaling == "batchnorm"
    if normalizes and 1 in (batch, micro):
        raise ConfigError(
            "Batch normalization must see at least 2 rows at a time, "
            f"however: batch_size={batch}, microbatch_size={micro}. "
            "Use larger batches, or model.norm = layer."
        )


def _check_table(config: Config) -> None:
    table = config.table
    if table.group is not None and table.time is not None:
        raise ConfigError(
            "Only one of table.group and table.time can decide the split, "
            f"however: group={table.group!r}, time={table.time!r}. Leave one out."
        )
    if table.delimiter is not None and len(table.delimiter) != 1:
        raise ConfigError(
            f"table.delimiter must be one character, however: {table.delimiter!r}. "
            'A tab is written table.delimiter="\\t", with the double quotes.'
        )


def _check_model(config: Config) -> None:
    model = config.model
    if config.n_folds > 1 and model.members % config.n_folds:
        raise ConfigError(
            "model.members must be a multiple of table.folds, however: "
            f"members={model.members}, folds={config.table.folds}. "
            f"Use members = {config.table.folds}, or folds = auto."
        )
    own = model.members > 1 and model.members_differ == "weights"
    if own and config.train.activation_checkpointing:
        raise ConfigError(
            'train.activation_checkpointing needs one network after another, however: model.members_differ = "weights" '
            "has them side by side. Take one network: --preset plain (in Python: from_preset)."
        )
    if own and (model.norm != "none" or model.residual or model.parametric_activation):
        raise ConfigError(
            'model.members_differ = "weights" has plain blocks, however: '
            f"norm={model.norm}, residual={model.residual}, "
            f"parametric_activation={model.parametric_activation}. "
            "Leave these out, or take one network: --preset plain (in Python: from_preset)."
        )
    if config.model.numeric_embedding != "none" and config.preprocess.scaling == "batchnorm":
        raise ConfigError(
            "model.numeric_embedding needs scaled numbers, however: preprocess.scaling = "
            "batchnorm leaves them as they are. Use another scaling, or model.numeric_embedding = none."
        )
    if config.train.schedule == "coslog4" and config.train.warmup_steps:
        raise ConfigError(
            "train.schedule = coslog4 rises from 0 by itself, however: "
            f"warmup_steps={config.train.warmup_steps}. Leave train.warmup_steps out."
        )
