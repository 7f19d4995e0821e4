"""The estimators' plain arguments as settings, and fits that fail without a trace."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from pydantic import ValidationError
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from afina.config import Config, settle
from afina.errors import ConfigError

SECTIONS = ("preprocess", "model", "train", "stop")
"""Whose settings the estimators take by the same names."""

_OWN = {"kinds": "table", "folds": "table", "val_frac": "table"}


def make_settings(params: Mapping[str, Any]) -> Config:
    """Build all settings from an estimator's arguments.

    Raises:
        ConfigError: a value that cannot be; the message names the argument.
    """
    sections: dict[str, dict[str, Any]] = {name: {} for name in ("table", *SECTIONS)}
    home = {
        field.name: section for section in SECTIONS for field in fields(getattr(Config(), section))
    }
    for name, value in params.items():
        section = _OWN.get(name) or home.get(name)
        if section is not None and not (value is None and name in ("kinds", "encodings")):
            sections[section][name] = value.item() if isinstance(value, np.generic) else value
    sections["train"]["seed"] = draw_seed(params["random_state"])
    try:
        return settle(Config(**sections))  # type: ignore[arg-type] # pydantic makes the sections
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"][1:])
        raise ConfigError(f"{name} cannot be {problem['input']!r:.80}: {problem['msg']}.") from None


def draw_seed(random_state: Any) -> int:
    """Take a whole number as it is; draw one from a generator of numpy, or from chance."""
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
