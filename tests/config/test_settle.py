"""Settings that contradict each other."""

import pytest

from afina.config import Config, apply_settings, settle
from afina.errors import ConfigError


def settled(*settings: str) -> Config:
    """Settle the defaults with these settings changed."""
    return settle(apply_settings(Config(), settings))


def test_defaults_stand() -> None:
    """The defaults go together and nothing in them changes."""
    assert Config() == settle(Config())


def test_adam_alone_has_no_decay() -> None:
    """Adam with decay left at its default runs, and the settings say that there is no decay."""
    config = settled("train.optimizer=adam")

    assert config.train.weight_decay == 0.0
    assert config == settle(config)


@pytest.mark.parametrize(
    "settings",
    [
        ["train.batch_size=32", "train.microbatch_size=32"],
        ["train.microbatch_size=48"],
        ["train.optimizer=adam", "train.weight_decay=0"],
        ["train.optimizer=sgd", "train.weight_decay=0.1"],
        ["train.schedule=onecycle", "train.warmup_steps=10"],
        ["train.batch_size=1"],
    ],
)
def test_pairs_that_go_together(settings: list[str]) -> None:
    """What can go together is not refused."""
    assert settled(*settings) == apply_settings(Config(), settings)


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
        (["train.schedule=coslog4", "train.warmup_steps=5"], "coslog4 rises from 0 by itself"),
    ],
)
def test_contradictions(settings: list[str], words: str) -> None:
    """What cannot go together is refused in words."""
    with pytest.raises(ConfigError, match=words):
        settled(*settings)
