"""Settings to and from TOML."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.config import (
    CheckpointPlan,
    Config,
    ModelSettings,
    PreprocessSettings,
    StopSettings,
    TableSettings,
    TrainSettings,
    apply_settings,
    change_settings,
    check_config,
    read_config,
    to_toml,
)
from afina.config.names import places
from afina.errors import ConfigError

# Any text that UTF-8 can hold; a lone surrogate cannot stand in a file.
words = st.text(st.characters(codec="utf-8"), max_size=8)
positive = st.floats(min_value=5e-324, max_value=1e300)
kinds = st.sampled_from(["numeric", "categorical", "boolean", "datetime", "text", "ignored"])

configs = st.builds(
    Config,
    table=st.builds(
        TableSettings,
        kinds=st.dictionaries(words, kinds, max_size=3),
        missing_values=st.lists(words, max_size=3).map(tuple),
        delimiter=st.none() | words,
        val_frac=st.floats(0, 1, exclude_min=True, exclude_max=True),
        group=st.none() | words | st.just("none"),
        weight=st.none() | words,
    ),
    preprocess=st.builds(
        PreprocessSettings,
        scaling=st.sampled_from([None, "robust", "batchnorm"]),
        encodings=st.dictionaries(words, st.sampled_from(["onehot", "embedding"]), max_size=3),
    ),
    model=st.builds(ModelSettings, residual=st.booleans(), norm_eps=positive),
    train=st.builds(
        TrainSettings,
        seed=st.integers(0, 2**63 - 1),
        batch_size=st.just("auto") | st.integers(1, 10**9),
        microbatch_size=st.none() | st.integers(1, 10**9),
        lr=positive,
        schedule=st.sampled_from(["constant", "onecycle", "coslog4"]),
        bias_lr_factor=positive,
        max_grad_norm=st.none() | positive,
    ),
    stop=st.builds(StopSettings, patience=st.none() | st.integers(1, 99), monitor=words),
    checkpoint=st.builds(
        CheckpointPlan,
        every_steps=st.none() | st.integers(1, 99),
        every_minutes=st.none() | st.floats(0, 1e300),
    ),
)


@given(configs)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    """What `to_toml` writes, `read_config` reads back equal."""
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8", newline="")

    assert config == read_config(path)


def test_every_setting_is_written() -> None:
    """The text names every setting, also those that are not set."""
    text = to_toml(Config(table=TableSettings(kinds={"a": "text"})))

    for section, keys in places().items():
        assert f"[{section}]" in text
        for key in keys:
            if key != "encodings":  # an empty table of columns is left out
                assert key in text


def test_left_out_settings_keep_their_default(tmp_path: Path) -> None:
    """A file with one setting changes that one alone."""
    path = tmp_path / "a.toml"
    path.write_text("[train]\nlr = 1\n")

    assert Config(train=TrainSettings(lr=1.0)) == read_config(path)


def test_byte_order_mark(tmp_path: Path) -> None:
    """A byte-order mark, as Windows editors write it, does no harm."""
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbf[train]\nseed = 3\n")

    assert read_config(path).train.seed == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train\n", ["TOML", "line 1"]),
        ("[train]\nlr = 1\nlr = 2\n", ["TOML", "line 3"]),
        ("[trian]\nlr = 1\n", ["[trian]", "Did you mean [train]?"]),
        ("[train]\nlearning_rate = 1\n", ["train.learning_rate", "Did you mean train.lr?"]),
        ("[train]\nepochs = 1\n", ["train.epochs", "Did you mean train.max_epochs?"]),
        ("[train]\ndropout = 0.5\n", ["train.dropout", "Did you mean model.dropout?"]),
        ("lr = 1\n", ["[lr]", "Did you mean train.lr?"]),
        ("train = 1\n", ["section", "train = 1"]),
        ("[train]\nlr = 0\n", ["train.lr must be a number, above 0", "got 0."]),
        ("[train]\nlr = nan\n", ["train.lr must be a number, above 0", "NaN"]),
        ("[train]\nlr = '1'\n", ["train.lr must be a number", '"1"']),
        ("[train]\nmax_epochs = 2.0\n", ["train.max_epochs must be a whole number", "2.0"]),
        ("[train]\nmax_epochs = true\n", ["train.max_epochs must be a whole number", "true"]),
        ("[train]\nlr = 'none'\n", ["train.lr must be a number", '"none"']),
        ("[model]\nnorm = 'bach'\n", ["model.norm must be one of", '"batch"', '"bach"']),
        ("[model]\nresidual = 1\n", ["model.residual must be true or false", "got 1."]),
        ("[table.kinds]\nzip = 'code'\n", ["table.kinds.zip must be one of", '"code"']),
        ("[table]\nmissing_values = 'NA'\n", ["table.missing_values must be a list", '"NA"']),
        ("[checkpoint]\nevery_steps = 0\n", ["at least 1", '"none"', "got 0."]),
        ("[train]\nlr = 2020-01-01\n", ["train.lr must be a number", "2020-01-01"]),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, words: list[str]) -> None:
    """A file that cannot be is refused with the setting, what is allowed, what came and where."""
    path = tmp_path / "wrong.toml"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        read_config(path)

    for word in [*words, "wrong.toml"]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.toml", None, "there is no"),
        ("bytes.toml", b"\xff\xfe", "UTF-8"),
        (".", None, "cannot be read"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    """A file that is absent, not text or a folder is named in the message."""
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigError, match=words) as caught:
        read_config(tmp_path / name)

    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "section", "key", "expected"),
    [
        ("train.lr=1e-2", "train", "lr", 0.01),
        ("train.lr=.5", "train", "lr", 0.5),
        (" train.lr = 2 ", "train", "lr", 2.0),
        ("train.optimizer=sgd", "train", "optimizer", "sgd"),
        ('train.optimizer="sgd"', "train", "optimizer", "sgd"),
        ("train.batch_size=64", "train", "batch_size", 64),
        ("train.batch_size=auto", "train", "batch_size", "auto"),
        ("stop.patience=none", "stop", "patience", None),
        ("preprocess.scaling=none", "preprocess", "scaling", None),
        ("train.schedule=cosine", "train", "schedule", "cosine"),
        ("experimental.schedule=coslog4", "train", "schedule", "coslog4"),
        ("experimental.sharding=fsdp2", "train", "sharding", "fsdp2"),
        ("experimental.bias_lr_factor=0.5", "train", "bias_lr_factor", 0.5),
        ("experimental.frequency_sigma=1", "model", "frequency_sigma", 1.0),
        ("table.group=none", "table", "group", None),
        ('table.group="none"', "table", "group", "none"),
        ("table.group=2024", "table", "group", "2024"),
        ("table.group=a b=c", "table", "group", "a b=c"),
        ("table.delimiter=;", "table", "delimiter", ";"),
        ("table.delimiter=\t", "table", "delimiter", "\t"),
        ('table.missing_values=["NA", "?"]', "table", "missing_values", ("NA", "?")),
        ("table.kinds.zip=categorical", "table", "kinds", {"zip": "categorical"}),
        ("table.kinds.a.b=text", "table", "kinds", {"a.b": "text"}),
        ("model.residual=true", "model", "residual", True),
    ],
)
def test_settings(setting: str, section: str, key: str, expected: object) -> None:
    """A setting from the command line is TOML, or a bare word."""
    config = apply_settings(Config(), [setting])

    assert expected == getattr(getattr(config, section), key)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("train", "bias_lr_factor", 0.5),
        ("train", "sharding", "fsdp2"),
        ("train", "schedule", "coslog4"),
        ("model", "frequency_sigma", 0.5),
        ("model", "member_start", "signs"),
    ],
)
def test_what_moved_says_where_it_is_now(
    tmp_path: Path, section: str, key: str, value: object
) -> None:
    """A setting that moved is refused with its new name, and read where a run wrote it before."""
    path = tmp_path / "a.toml"
    path.write_text(f"[{section}]\n{key} = {json.dumps(value)}\n")
    with pytest.raises(
        ConfigError, match=rf"a.toml: {section}\.{key}.* is now experimental\.{key}"
    ):
        read_config(path)
    with pytest.raises(ConfigError, match=rf"{section}\.{key}.* is now experimental\.{key}"):
        apply_settings(Config(), [f"{section}.{key}={value}"])

    assert getattr(getattr(read_config(path, former=True), section), key) == value


def test_a_file_of_before_is_read(tmp_path: Path) -> None:
    """What a run wrote when none was a word is read as None."""
    path = tmp_path / "config.toml"
    path.write_text(
        '[preprocess]\nscaling = "none"\n[model]\nnorm = "none"\nnumeric_embedding = "none"\n'
        '[train]\nsharding = "none"\naveraging = "none"\nschedule = "cosine"\n'
    )
    config = read_config(path, former=True)

    assert (config.preprocess.scaling, config.model.norm, config.train.averaging) == (None,) * 3
    assert (config.train.sharding, config.train.schedule) == (None, "cosine")


def test_one_schedule_replaces_the_other() -> None:
    """The last of the two places of the schedule wins."""
    config = apply_settings(Config(), ["experimental.schedule=coslog4", "train.schedule=cosine"])

    assert config.train.schedule == "cosine"
    assert apply_settings(config, ["experimental.schedule=flat_cos"]).train.schedule == "flat_cos"


def test_later_setting_wins() -> None:
    """Of two values for one setting the later one stands; the others are left alone."""
    start = Config(train=TrainSettings(lr=0.5, seed=3))

    config = apply_settings(start, ["train.lr=1", "train.lr=2"])

    assert Config(train=TrainSettings(lr=2.0, seed=3)) == config


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("lr=1", "section.key=value; got 'lr=1'. Did you mean train.lr?"),
        ("train.lr", "section.key=value"),
        ("trian.lr=1", "trian.lr. Did you mean train.lr?"),
        ("train.xyzzy=1", r"train.xyzzy. Section \[train\] has: seed, "),
        ("xyzzy.q=1", "The sections are: table, "),
        ("train.lr.x=1", "train.lr must be set as a whole; got the part"),
        ("train.lr=none", "train.lr must be a number, above 0"),
        ("train.seed=-1", r"at least 0 and below 2\^63; got -1"),
    ],
)
def test_wrong_settings(setting: str, words: str) -> None:
    """A setting that cannot be is refused in words."""
    with pytest.raises(ConfigError, match=words):
        apply_settings(Config(), [setting])


@given(words)
def test_any_text_is_a_setting_or_a_config_error(text: str) -> None:
    """Whatever stands behind --set, nothing but a ConfigError comes of it."""
    for setting in [text, f"train.{text}=1", f"{text}.lr=1", f"train.lr={text}"]:
        with contextlib.suppress(ConfigError):
            assert isinstance(apply_settings(Config(), [setting]), Config)


@pytest.mark.parametrize(
    "weights",
    [{"a.b": 1.0, 'q"x': 2.0, "none": 3.0, "é ü": 1.5, "1": 2.0}, "balanced", None, "none"],
)
def test_class_weights_survive_a_file(tmp_path: Path, weights: object) -> None:
    """Weights of labels with any text, a word, and nothing are read back equal."""
    config = change_settings(Config(), {"table.class_weight": weights, "stop.metric": "auc"})
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")

    assert read_config(path) == config
    assert config.table.class_weight == (None if weights == "none" else weights)


def test_weights_are_set_one_by_one() -> None:
    """A weight for a label replaces a word, and joins other labels."""
    lines = ["table.class_weight=balanced", "table.class_weight.a=2", "table.class_weight.b.c=3"]

    assert apply_settings(Config(), lines).table.class_weight == {"a": 2.0, "b.c": 3.0}


def test_two_scores_cannot_decide() -> None:
    """Metric and monitor must name the same score, if both are set."""
    same = change_settings(Config(), {"stop.metric": "auc", "stop.monitor": "val/auc"})
    check_config(same)
    other = change_settings(Config(), {"stop.metric": "auc", "stop.monitor": "val/brier"})
    with pytest.raises(ConfigError, match=r"Only one of stop\.metric and stop\.monitor"):
        check_config(other)
