"""Settings that contradict each other."""

import pytest

from afina.config import Config, apply_settings, check_config
from afina.errors import ConfigError


def checked(*settings: str) -> Config:
    """Check the defaults with these settings changed."""
    config = apply_settings(Config(), settings)
    check_config(config)
    return config


def test_defaults_stand() -> None:
    """The defaults go together."""
    check_config(Config())


@pytest.mark.parametrize(
    "settings",
    [
        ["train.batch_size=32", "train.microbatch_size=32"],
        ["train.microbatch_size=48"],
        ["train.optimizer=adam", "train.weight_decay=0"],
        ["train.optimizer=adam"],
        ["train.optimizer=sgd", "train.weight_decay=0.1"],
        ["train.schedule=onecycle", "train.warmup_steps=10"],
        ["train.batch_size=1"],
    ],
)
def test_pairs_that_go_together(settings: list[str]) -> None:
    """What can go together is not refused."""
    assert checked(*settings) == apply_settings(Config(), settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            ["train.batch_size=32", "train.microbatch_size=48"],
            "microbatch_size=48, batch_size=32. Use 32 or less",
        ),
        (["train.optimizer=adam", "train.weight_decay=0.1"], "adamw, or train.l2"),
        (["model.norm=batch", "train.batch_size=1"], "at least 2 rows"),
        (["preprocess.scaling=batchnorm", "train.microbatch_size=1"], "at least 2 rows"),
        (["table.group=a", "table.time=b"], "Only one of"),
        (["table.delimiter=ab"], "one character"),
        (
            ["model.numeric_embedding=periodic", "preprocess.scaling=batchnorm"],
            "numeric_embedding needs scaled numbers",
        ),
        (["experimental.schedule=coslog4", "train.warmup_steps=5"], "coslog4 must be used without"),
    ],
)
def test_contradictions(settings: list[str], words: str) -> None:
    """What cannot go together is refused in words."""
    with pytest.raises(ConfigError, match=words):
        checked(*settings)
