"""The settings of a fit, composed of the packages' settings: checks, TOML, presets."""

from afina.config.check import check_config
from afina.config.presets import PRESETS, preset_arguments
from afina.config.sections import Config, TrainSettings
from afina.config.toml import (
    apply_settings,
    change_settings,
    preset_config,
    read_config,
    to_toml,
)
from afina.models.settings import ModelSettings
from afina.preprocess.settings import PreprocessSettings
from afina.table.settings import TableSettings
from afina.train.run.checkpoint_plan import CheckpointPlan
from afina.train.settings import StopSettings

__all__ = [
    "PRESETS",
    "CheckpointPlan",
    "Config",
    "ModelSettings",
    "PreprocessSettings",
    "StopSettings",
    "TableSettings",
    "TrainSettings",
    "apply_settings",
    "change_settings",
    "check_config",
    "preset_arguments",
    "preset_config",
    "read_config",
    "to_toml",
]
