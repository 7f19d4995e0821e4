"""Decide whether a model is clearly better than its baseline, or only by chance."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afina.metrics import HIGHER_IS_BETTER, LEAST_PROBABILITY

Floats = NDArray[np.float64]

CLEAR = 2.0
"""Standard errors by which a mean gain must exceed 0 to be clear."""

_BY_ROW = ("accuracy", "brier", "log_loss", "rmse", "r2", "mae", "median_absolute_error")
_ABSOLUTE = ("mae", "median_absolute_error")


def is_gain(name: str, score: float, other: float) -> bool:
    """Return whether a score is better than another; a score of NaN never is.

    Example:
        >>> is_gain("auc", 0.6, 0.5), is_gain("rmse", 0.6, 0.5), is_gain("auc", float("nan"), 0.5)
        (True, False, False)
    """
    return score > other if HIGHER_IS_BETTER[name] else score < other


def mean_gain(
    name: str, predictions: Floats, others: Floats, y: NDArray[Any], weights: Floats
) -> tuple[float, float]:
    """Return how much lower the mean loss of predictions is than that of others, and the error.

    The loss of a row is what the row contributes to the score. For classes, it is 1 for a wrong
    class with `accuracy`, the squared distance from the true class with `brier`, and the negative
    logarithm of the true class's probability with any other score. For numbers, it is the absolute
    error with `mae` and `median_absolute_error`, and the squared error with any other score. The
    second value returned is the standard error of the difference.

    Args:
        name: the score.
        predictions: probabilities (n, n_classes) or numbers (n,).
        others: predictions for the same rows.
        y: targets: class numbers or numbers (n,).
        weights: weights of the rows, at least 0.

    Example:
        >>> y = np.array([0.0, 2.0])
        >>> mean_gain("mae", y, np.array([1.0, 1.0]), y, np.ones(2))
        (1.0, 0.0)
    """
    if predictions.ndim == 1:
        own, other = np.abs(predictions - y), np.abs(others - y)
        if name not in _ABSOLUTE:
            largest = max(own.max(initial=0.0), other.max(initial=0.0)) or 1.0
            own, other = (own / largest) ** 2, (other / largest) ** 2  # so that nothing overflows
    else:
        codes = y.astype(np.int64)
        own, other = (_class_losses(name, part, codes) for part in (predictions, others))
    share = weights / weights.max(initial=0.0)
    share = share / share.sum()
    gain = float((share * (other - own)).sum())
    return gain, math.sqrt(float((share**2 * (other - own - gain) ** 2).sum()))


def describe_doubt(
    name: str,
    predictions: Floats,
    others: Floats,
    y: NDArray[Any],
    weights: Floats,
    *,
    weighted_classes: bool = False,
) -> str:
    """Say in which scores a model with a better headline score is not clearly better.

    The log_loss is checked too, unless classes are weighted, which changes probabilities on purpose.

    Args:
        name: the headline score.
        predictions: the model's predictions.
        others: the baseline's predictions.
        y: targets of the rows that were scored.
        weights: weights of these rows.
        weighted_classes: whether classes are weighted.

    Returns:
        A sentence, or "" if the model is clearly better.
    """
    if len(y) < 2:
        return ""
    unclear = {}
    checked = [name] if name in _BY_ROW else []
    if predictions.ndim == 2 and not weighted_classes:
        checked.append("log_loss")
    for score in checked:
        gain, error = mean_gain(score, predictions, others, y, weights)
        if gain <= CLEAR * error:
            unclear[score] = gain
    if not unclear:
        return ""
    if unclear.get("log_loss", 1.0) <= 0:
        return (
            "The log_loss is no better than the baseline's: the probabilities tell no more than the "
            "shares of the classes."
        )
    if len(unclear) == len(set(checked)):
        return (
            "The model is not clearly better than the baseline: chance may explain the difference."
        )
    return (
        f"The {next(iter(unclear))} is not clearly better than the baseline's: chance may explain "
        "the difference."
    )


def _class_losses(name: str, probabilities: Floats, codes: NDArray[np.int64]) -> Floats:
    if name == "accuracy":
        wrong: NDArray[np.bool_] = probabilities.argmax(axis=1) != codes
        return wrong.astype(np.float64)
    if name == "brier":
        one_hot = codes[:, None] == np.arange(probabilities.shape[1])
        squares: Floats = ((probabilities - one_hot) ** 2).sum(axis=1)
        return squares
    of_true_class = probabilities[np.arange(len(codes)), codes]
    losses: Floats = -np.log(np.clip(of_true_class, LEAST_PROBABILITY, 1.0))
    return losses
