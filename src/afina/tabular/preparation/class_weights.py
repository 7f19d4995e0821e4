"""Weights of classes: a factor for the weight of each row, in training and in the validation loss."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from afina.errors import ConfigError
from afina.table import Label, Target, cell_text, did_you_mean, find_classes, list_names
from afina.tabular.preparation.given import Given
from afina.tabular.preparation.rows import Floats

ClassWeight = Mapping[str, float] | Literal["balanced"]

_BOOLEANS = {"0": "false", "1": "true", "false": "0", "true": "1"}
_MOST_SHOWN = 8


def learn_class_weights(
    setting: ClassWeight | None, target: Target, weights: Floats, name: str
) -> Floats | None:
    """Return the weight of each class, by its number; None if classes are not weighted.

    Args:
        setting: a weight for each label. "balanced": the total weight of all rows, divided by the
            number of classes and the weight of the class's rows.
        target: the targets of all rows to learn from.
        weights: weights of these rows.
        name: the target's name, for messages.

    Raises:
        ConfigError: the target is a number, a label is unknown, or a label has no weight.
    """
    if setting is None:
        return None
    if not target.classes:
        raise ConfigError(
            "class_weight needs a target with classes",
            but=f"target {name!r} is a number",
            fix="Leave class_weight out, or add --task classification (in Python: "
            "AfinaClassifier).",
        )
    if isinstance(setting, str):
        kept = ~target.missing
        n_classes = len(target.classes)
        totals = np.bincount(target.values[kept], weights[kept], minlength=n_classes)
        return np.asarray(totals.sum() / (n_classes * totals))
    return _by_label(setting, target.classes, name)


def weigh_classes(given: Given, target: Target, class_weights: Floats | None) -> Given:
    """Multiply the weight of each row by that of its class; scores use the rows' own weights.

    Raises:
        ConfigError: a product is too large or too small for a float.
    """
    if class_weights is None:
        return given
    factors = np.append(class_weights, 1.0)[target.values]  # -1: a row without a target
    weights = given.weights * factors
    if not np.isfinite(weights).all() or ((weights == 0) & (given.weights > 0)).any():
        raise ConfigError(
            "class_weight times the weight of a row must be a finite number above 0",
            but=f"it is not for a row of {given.source}",
            fix="Use weights closer to 1.",
        )
    return replace(given, weights=weights, score_weights=given.weights)


def describe_class_weights(class_weights: Floats, classes: Sequence[Label]) -> str:
    """Say which weights the classes have, and what that does to probabilities."""
    shown = [
        f"{cell_text(label):.40}: {weight:.4g}"
        for label, weight in zip(classes, class_weights, strict=True)
    ]
    more = f" and {len(shown) - _MOST_SHOWN} more" if len(shown) > _MOST_SHOWN else ""
    return (
        f"classes are weighted ({', '.join(shown[:_MOST_SHOWN])}{more}): predicted probabilities "
        "are those of rows weighted this way, not the shares to expect among new rows; scores "
        "do not use the class weights"
    )


def _by_label(setting: Mapping[str, float], classes: Sequence[Label], name: str) -> Floats:
    """Return the weight of each class; every class must get one, and every label must be known."""
    texts = list(map(cell_text, classes))
    weights = np.full(len(classes), np.nan)
    for label, weight in setting.items():
        code = find_classes([label], classes)[0]
        if code is None:  # in Python, 1 == True
            code = find_classes([_BOOLEANS.get(label.lower(), label)], classes)[0]
        if code is None:
            hint = did_you_mean(label, texts).strip()
            if "=" in label:
                hint = (
                    "Repeat --class-weight for each label: --class-weight a=2 --class-weight b=1 "
                    "(in Python: class_weight={'a': 2, 'b': 1})."
                )
            raise ConfigError(
                f"class_weight must name labels of target {name!r}",
                got=repr(label),
                fix=hint or f"The labels are {list_names(texts)}.",
            )
        if not np.isnan(weights[code]):
            raise ConfigError(
                "class_weight must give each label one weight",
                but=f"{texts[code]!r} has two weights",
                fix="Leave one out.",
            )
        weights[code] = weight
    absent = [text for text, weight in zip(texts, weights, strict=True) if np.isnan(weight)]
    if absent:
        raise ConfigError(
            f"class_weight must have a weight for each label of target {name!r}",
            but=f"it has none for {list_names(absent)}",
            fix='Add the missing ones; a weight of 1 leaves rows unchanged. Or use "balanced".',
        )
    return weights
