"""Find settings that contradict each other, before the table is read."""

from afina.config.sections import Config, TrainSettings
from afina.errors import ConfigError

Rules = tuple[tuple[bool, ConfigError], ...]
"""Whether each rule is broken, and the error to raise then."""


def check_config(config: Config) -> None:
    """Raise if settings contradict each other.

    Raises:
        ConfigError: two settings cannot be combined.
    """
    rules = (
        *_train_rules(config),
        *_table_rules(config),
        *_model_rules(config),
        *_stop_rules(config),
    )
    for is_broken, error in rules:
        if is_broken:
            raise error


def _stop_rules(config: Config) -> Rules:
    stop = config.stop
    watched = stop.monitor.removeprefix("val/")
    return (
        (
            stop.metric is not None and watched not in ("loss", stop.metric),
            ConfigError(
                "Only one of stop.metric and stop.monitor can decide what is best",
                got=f"metric={stop.metric!r}, monitor={stop.monitor!r}",
                fix="Leave one out.",
            ),
        ),
    )


def _train_rules(config: Config) -> Rules:
    train, batch, micro = config.train, config.train.batch_size, config.train.microbatch_size
    return (
        (
            isinstance(batch, int) and isinstance(micro, int) and micro > batch,
            ConfigError(
                "train.microbatch_size must not exceed train.batch_size",
                got=f"microbatch_size={micro}, batch_size={batch}",
                fix=f"Use {batch} or less.",
            ),
        ),
        (
            (config.model.norm == "batch" or config.preprocess.scaling == "batchnorm")
            and 1 in (batch, micro),
            ConfigError(
                "Batch normalization must see at least 2 rows at a time",
                got=f"batch_size={batch}, microbatch_size={micro}",
                fix="Use larger batches, or model.norm = layer.",
            ),
        ),
        (
            train.optimizer == "adam"  # `resolve` turns the default into 0
            and train.weight_decay not in (0.0, TrainSettings().weight_decay),
            ConfigError(
                "train.weight_decay must be 0 with train.optimizer = adam, which has no decoupled "
                "decay",
                got=f"weight_decay={train.weight_decay}",
                fix="Use train.optimizer = adamw, or train.l2 for a penalty in the loss.",
            ),
        ),
        (
            train.schedule == "coslog4" and train.warmup_steps > 0,
            ConfigError(
                "The schedule coslog4 must be used without warm-up, because it rises from 0",
                got=f"warmup_steps={train.warmup_steps}",
                fix="Leave train.warmup_steps out.",
            ),
        ),
    )


def _table_rules(config: Config) -> Rules:
    table = config.table
    return (
        (
            table.group is not None and table.time is not None,
            ConfigError(
                "Only one of table.group and table.time can decide the split",
                got=f"group={table.group!r}, time={table.time!r}",
                fix="Leave one out.",
            ),
        ),
        (
            table.delimiter is not None and len(table.delimiter) != 1,
            ConfigError(
                "table.delimiter must be one character",
                got=repr(table.delimiter),
                fix=r"Write a tab as \t.",
            ),
        ),
    )


def _model_rules(config: Config) -> Rules:
    model = config.model
    is_ensemble = model.members > 1 and model.members_differ == "weights"
    one_network = "use one network: --preset plain (in Python: from_preset)."
    return (
        (
            config.n_folds > 1 and model.members % config.n_folds > 0,
            ConfigError(
                "model.members must be a multiple of table.folds",
                got=f"members={model.members}, folds={config.table.folds}",
                fix=f"Use members = {config.table.folds}, or folds = auto.",
            ),
        ),
        (
            is_ensemble and config.train.activation_checkpointing,
            ConfigError(
                "train.activation_checkpointing needs a network whose layers run one after another",
                but='model.members_differ = "weights" runs several networks side by side',
                fix=f"Leave it out, or {one_network}",
            ),
        ),
        (
            is_ensemble
            and (model.norm is not None or model.residual or model.parametric_activation),
            ConfigError(
                'With model.members_differ = "weights", blocks must be plain',
                got=f"norm={model.norm or 'none'}, residual={str(model.residual).lower()}, "
                f"parametric_activation={str(model.parametric_activation).lower()}",
                fix=f"Leave these out, or {one_network}",
            ),
        ),
        (
            model.numeric_embedding is not None and config.preprocess.scaling == "batchnorm",
            ConfigError(
                "model.numeric_embedding needs scaled numbers",
                but="preprocess.scaling = batchnorm leaves them unscaled",
                fix="Use another scaling, or model.numeric_embedding = none.",
            ),
        ),
    )
