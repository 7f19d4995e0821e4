"""Settings: one frozen class a section, TOML in and out."""

from afina.config.presets import PRESETS, preset_arguments
from afina.config.sections import (
    CheckpointConfig,
    Config,
    ModelConfig,
    PreprocessConfig,
    StopConfig,
    TableConfig,
    TrainConfig,
)
from afina.config.settle import settle
from afina.config.toml import apply_settings, preset_config, read_config, to_toml

__all__ = [
    "PRESETS",
    "CheckpointConfig",
    "Config",
    "ModelConfig",
    "PreprocessConfig",
    "StopConfig",
    "TableConfig",
    "TrainConfig",
    "apply_settings",
    "preset_arguments",
    "preset_config",
    "read_config",
    "settle",
    "to_toml",
]
