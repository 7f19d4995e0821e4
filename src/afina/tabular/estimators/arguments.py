"""The estimators' arguments as settings, and fits that leave no trace if they fail."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from afina.config import (
    Config,
    ModelSettings,
    PreprocessSettings,
    StopSettings,
    TableSettings,
    TrainSettings,
    check_config,
)
from afina.declaration import declarations
from afina.errors import ConfigError
from afina.table import cell_text

SECTIONS = ("preprocess", "model", "train", "stop")
"""Sections whose settings are arguments of the estimators, under the same names."""

_OF_TABLE = ("kinds", "class_weight", "folds", "val_frac")


def make_settings(params: Mapping[str, Any]) -> Config:
    """Combine an estimator's arguments into complete settings.

    Raises:
        ConfigError: a value is invalid; the message names the argument.
    """
    train = _pick(params, declarations(TrainSettings))
    train["seed"] = draw_seed(params["random_state"])
    config = Config(
        table=TableSettings(**_pick(params, _OF_TABLE)),
        preprocess=PreprocessSettings(**_pick(params, declarations(PreprocessSettings))),
        model=ModelSettings(**_pick(params, declarations(ModelSettings))),
        train=TrainSettings(**train),
        stop=StopSettings(**_pick(params, declarations(StopSettings))),
    )
    check_config(config)
    return config


def _pick(params: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Pick arguments by name, as plain values."""
    picked = {}
    for name in names:
        value = params.get(name)
        if name in ("kinds", "encodings"):
            value = {} if value is None else dict(value)
        elif name == "class_weight":
            value = _with_text_labels(value)
        if name in params:
            picked[name] = _as_plain(value)
    return picked


def _with_text_labels(class_weight: Any) -> Any:
    """Write the labels of class weights as a table does; leave anything but a mapping unchanged.

    Raises:
        ConfigError: two labels are written alike, such as 1 and "1".
    """
    if hasattr(class_weight, "to_dict"):  # a pandas series, indexed by label
        class_weight = class_weight.to_dict()
    if not isinstance(class_weight, Mapping):
        return class_weight
    by_text: dict[str, Any] = {}
    for label, weight in class_weight.items():
        text = cell_text(_as_plain(label))
        if text in by_text:
            raise ConfigError(
                "class_weight must give each label one weight",
                but=f"{text!r} has two weights",
                fix="Leave one out.",
            )
        by_text[text] = _as_plain(weight)
    return by_text


def _as_plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def draw_seed(random_state: Any) -> int:
    """Return an integer seed unchanged; draw one from a numpy generator, or at random for None."""
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31))


@contextlib.contextmanager
def untouched_on_failure(estimator: BaseEstimator) -> Iterator[None]:
    """Restore an estimator's attributes if a fit fails."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
