"""Find settings that contradict each other, before the table is read."""

from afina.config.sections import Config, TrainSettings
from afina.errors import ConfigError


def check_config(config: Config) -> None:
    """Raise if settings contradict each other.

    Raises:
        ConfigError: two settings cannot be combined.
    """
    _check_batches(config)
    _check_optimizer(config)
    _check_table(config)
    _check_model(config)


def _check_batches(config: Config) -> None:
    batch, micro = config.train.batch_size, config.train.microbatch_size
    if isinstance(batch, int) and isinstance(micro, int) and micro > batch:
        raise ConfigError(
            "train.microbatch_size must not exceed train.batch_size",
            got=f"microbatch_size={micro}, batch_size={batch}",
            fix=f"Use {batch} or less.",
        )
    normalizes = config.model.norm == "batch" or config.preprocess.scaling == "batchnorm"
    if normalizes and 1 in (batch, micro):
        raise ConfigError(
            "Batch normalization must see at least 2 rows at a time",
            got=f"batch_size={batch}, microbatch_size={micro}",
            fix="Use larger batches, or model.norm = layer.",
        )


def _check_optimizer(config: Config) -> None:
    train = config.train
    default = TrainSettings().weight_decay  # allowed: `resolve` turns it into 0
    if train.optimizer == "adam" and train.weight_decay not in (0.0, default):
        raise ConfigError(
            "train.weight_decay must be 0 with train.optimizer = adam, which has no decoupled decay",
            got=f"weight_decay={train.weight_decay}",
            fix="Use train.optimizer = adamw, or train.l2 for a penalty in the loss.",
        )
    if train.schedule == "coslog4" and train.warmup_steps:
        raise ConfigError(
            "The schedule coslog4 must be used without warm-up, because it rises from 0",
            got=f"warmup_steps={train.warmup_steps}",
            fix="Leave train.warmup_steps out.",
        )


def _check_table(config: Config) -> None:
    table = config.table
    if table.group is not None and table.time is not None:
        raise ConfigError(
            "Only one of table.group and table.time can decide the split",
            got=f"group={table.group!r}, time={table.time!r}",
            fix="Leave one out.",
        )
    if table.delimiter is not None and len(table.delimiter) != 1:
        raise ConfigError(
            "table.delimiter must be one character",
            got=repr(table.delimiter),
            fix='A tab is written table.delimiter="\\t", with the double quotes.',
        )


def _check_model(config: Config) -> None:
    model = config.model
    if config.n_folds > 1 and model.members % config.n_folds:
        raise ConfigError(
            "model.members must be a multiple of table.folds",
            got=f"members={model.members}, folds={config.table.folds}",
            fix=f"Use members = {config.table.folds}, or folds = auto.",
        )
    if model.members > 1 and model.members_differ == "weights":
        _check_ensemble(config)
    if model.numeric_embedding is not None and config.preprocess.scaling == "batchnorm":
        raise ConfigError(
            "model.numeric_embedding needs scaled numbers",
            but="preprocess.scaling = batchnorm leaves them unscaled",
            fix="Use another scaling, or model.numeric_embedding = none.",
        )


def _check_ensemble(config: Config) -> None:
    model = config.model
    one_network = "take one network: --preset plain (in Python: from_preset)."
    if config.train.activation_checkpointing:
        raise ConfigError(
            "train.activation_checkpointing needs a network whose layers run one after another",
            but='model.members_differ = "weights" runs several networks side by side',
            fix=f"Leave it out, or {one_network}",
        )
    if model.norm is not None or model.residual or model.parametric_activation:
        raise ConfigError(
            'With model.members_differ = "weights", blocks must be plain',
            got=f"norm={model.norm or 'none'}, residual={str(model.residual).lower()}, "
            f"parametric_activation={str(model.parametric_activation).lower()}",
            fix=f"Leave these out, or {one_network}",
        )
