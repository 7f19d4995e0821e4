"""Recipes by name."""

import pytest

from afina import AfinaClassifier
from afina.config import (
    PRESETS,
    Config,
    apply_settings,
    check_config,
    preset_arguments,
    preset_config,
    read_config,
)
from afina.errors import ConfigError


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_configuration(name: str) -> None:
    """Each can be used as it is, from TOML and as arguments of an estimator."""
    config = preset_config(name)
    estimator = AfinaClassifier.from_preset(name, lr=0.5)

    check_config(config)
    for key, value in preset_arguments(name).items():
        assert estimator.get_params()[key] == (0.5 if key == "lr" else value)


def test_the_default_is_the_default() -> None:
    """The preset of that name changes nothing."""
    assert preset_config("default") == Config()


def test_a_preset_differs_from_the_default() -> None:
    """The others each say something, and no setting that is the default's anyhow."""
    for name in set(PRESETS) - {"default"}:
        for section, values in PRESETS[name].items():
            for key, value in values.items():
                assert value != getattr(getattr(Config(), section), key), f"{name}: {section}.{key}"


def test_a_file_names_its_preset(tmp_path) -> None:
    """What stands in the file wins over its preset, and an argument over the preset's name."""
    path = tmp_path / "a.toml"
    path.write_text('preset = "plain"\n[model]\nd_block = 32\n')

    assert read_config(path) == apply_settings(preset_config("plain"), ["model.d_block=32"])
    assert read_config(path, "fast") == apply_settings(preset_config("fast"), ["model.d_block=32"])


def test_a_misspelled_preset_is_named(tmp_path) -> None:
    """The message lists those that there are."""
    path = tmp_path / "a.toml"
    path.write_text('preset = "bset"\n')

    with pytest.raises(ConfigError, match=r"fast, default, best, plain; got 'bset'"):
        read_config(path)
    with pytest.raises(ConfigError, match="bset"):
        AfinaClassifier.from_preset("bset")
