"""Presets: named sets of settings, stored as differences from the defaults."""

from typing import Any

from afina.config.names import Sections
from afina.errors import ConfigError

PRESETS: dict[str, Sections] = {
    "fast": {
        "model": {"members": 4},
        "stop": {"patience": 3},
    },
    "default": {},
    "best": {
        "model": {"members": 8},
        "stop": {"patience": 16, "patience_share": 0.25},
    },
    "plain": {
        "table": {"folds": 1},
        "preprocess": {"scaling": "quantile", "onehot_max": 16},
        "model": {
            "n_blocks": 3,
            "d_block": 256,
            "dropout": 0.1,
            "numeric_embedding": None,
            "members": 1,
            "members_differ": "input",
        },
        "train": {
            "optimizer": "adamw",
            "lr": 1e-3,
            "averaging": None,
            "beta2": 0.999,
            "weight_decay": 1e-2,
        },
        "stop": {"patience": 16},
    },
}


def preset_sections(name: str) -> Sections:
    """Return the settings of a preset that differ from the defaults, by section and key.

    Raises:
        ConfigError: there is no such preset.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"preset must be one of {', '.join(PRESETS)}",
            got=repr(name),
            fix="Correct the name, or leave it out.",
        )
    return {section: dict(values) for section, values in PRESETS[name].items()}


def preset_arguments(name: str) -> dict[str, Any]:
    """Return the settings of a preset as keyword arguments for the estimators.

    Example:
        >>> preset_arguments("default")
        {}
    """
    return {key: value for keys in preset_sections(name).values() for key, value in keys.items()}
