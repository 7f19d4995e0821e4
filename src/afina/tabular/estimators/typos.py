"""Name an argument that an estimator does not have, and suggest the one that was meant."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import TypeVar, cast

from afina.errors import ConfigError
from afina.table import nearest_name

Init = TypeVar("Init", bound=Callable[..., None])

ELSEWHERE = {
    "learning_rate": "lr",
    "learning_rate_init": "lr",
    "eta": "lr",
    "epochs": "max_epochs",
    "n_epochs": "max_epochs",
    "num_epochs": "max_epochs",
    "max_iter": "max_epochs",
    "iterations": "max_epochs",
    "n_estimators": "max_epochs",
    "early_stopping_rounds": "patience",
    "n_iter_no_change": "patience",
    "tol": "min_delta",
    "seed": "random_state",
    "random_seed": "random_state",
    "n_jobs": "threads",
    "thread_count": "threads",
    "validation_fraction": "val_frac",
    "validation_split": "val_frac",
    "hidden_layer_sizes": "d_block",
    "n_layers": "n_blocks",
    "alpha": "weight_decay",
    "l2_leaf_reg": "weight_decay",
    "reg_lambda": "weight_decay",
    "solver": "optimizer",
    "cat_features": "kinds",
    "categorical_feature": "kinds",
    "categorical_features": "kinds",
    "dtype": "kinds",
    "train_dir": "run_dir",
    "output_dir": "run_dir",
    "preset": "from_preset",
}
"""Arguments of other libraries, each with afina's argument for the same, or nearly the same."""


def names_typos(init: Init) -> Init:
    """Let an `__init__` with keyword arguments say which one does not exist.

    Python's own message would name the private class that defines it.
    """
    names = [name for name in inspect.signature(init).parameters if name != "self"]

    @functools.wraps(init)
    def checked(self: object, *args: object, **arguments: object) -> None:
        kind = type(self).__name__
        if args:
            message = f"{kind} accepts only keyword arguments, as in {kind}(lr=0.01)"
            raise TypeError(f"{message}; got {args[0]!r:.80}.")
        unknown = next((name for name in arguments if name not in names), None)
        if unknown is not None:
            raise TypeError(str(unknown_argument(unknown, names, kind)))
        init(self, **arguments)

    return cast("Init", checked)


def check_arguments(arguments: Iterable[str], names: Iterable[str], kind: str) -> None:
    """Raise a ConfigError for the first argument that the estimator does not have."""
    known = list(names)
    for name in arguments:
        if name not in known:
            raise unknown_argument(name, known, kind)


def unknown_argument(name: str, names: Iterable[str], kind: str) -> ConfigError:
    """Return an error about an argument that does not exist.

    Args:
        name: the argument.
        names: the arguments that exist.
        kind: name of the estimator.

    Example:
        >>> print(unknown_argument("lerning_rate", ["lr", "dropout"], "AfinaClassifier"))
        AfinaClassifier has no argument 'lerning_rate'. Did you mean 'lr'?
    """
    fix = f"{kind}().get_params() returns all of them."
    near = nearest_name(name, [*names, *ELSEWHERE])
    near = near if near is None else ELSEWHERE.get(near, near)
    if near is not None:
        fix = f"Did you mean {near!r}?"
    if near == "from_preset":
        fix = f"Use {kind}.from_preset('fast') to choose a preset."
    return ConfigError(f"{kind} has no argument {name!r}", fix=fix)
