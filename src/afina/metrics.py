"""Scores of predictions: pure functions of float64 arrays, with optional row weights.

A weight of 2 counts the row twice, equal weights change no bit of the result, and a row with weight
0 is ignored. An undefined score (the AUC of a single class, the r2 of a constant target, any score
without rows) is NaN.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "HIGHER_IS_BETTER",
    "accuracy",
    "auc",
    "balanced_accuracy",
    "brier",
    "classification_scores",
    "confusion_matrix",
    "f1",
    "f1_macro",
    "log_loss",
    "mae",
    "median_absolute_error",
    "r2",
    "regression_scores",
    "rmse",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
TargetsT = TypeVar("TargetsT", Floats, Ints)
PredictedT = TypeVar("PredictedT", Floats, Ints)

LEAST_PROBABILITY = 1e-15
"""`log_loss` raises smaller probabilities to this, so that a mistake costs at most 34.5."""

HIGHER_IS_BETTER: Mapping[str, bool] = MappingProxyType(
    {
        "accuracy": True,
        "balanced_accuracy": True,
        "log_loss": False,
        "auc": True,
        "brier": False,
        "f1": True,
        "f1_macro": True,
        "rmse": False,
        "mae": False,
        "r2": True,
        "median_absolute_error": False,
    }
)
"""Whether higher values of each score are better, by name."""


def accuracy(y: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the share of rows whose class is predicted correctly.

    Example:
        >>> accuracy([0, 1, 1], [0, 1, 0], weights=[1, 2, 1])
        0.75
    """
    y, predicted, w = _classes_and_weights(y, predicted, weights)
    return _mean((y == predicted).astype(np.float64), w)


def balanced_accuracy(
    y: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Return the share of correct predictions in each class of `y`, averaged over the classes."""
    counts = _counts(*_classes_and_weights(y, predicted, weights), None)
    n_true = counts.sum(axis=1)
    occurs = n_true > 0
    return _mean(np.diag(counts)[occurs] / n_true[occurs], None)


def f1(y: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the F1 score of class 1, the second of two classes.

    It is 0 if no row of class 1 is predicted correctly, even if there is no such row.

    Example:
        >>> f1([0, 1, 1], [0, 1, 0])
        0.6666666666666666
    """
    y, predicted, w = _classes_and_weights(y, predicted, weights)
    hits = _mean(((y == 1) & (predicted == 1)).astype(np.float64), w)
    both = _mean((y == 1).astype(np.float64) + (predicted == 1), w)
    return 2 * hits / both if both else 0.0


def f1_macro(y: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the mean F1 score of the classes in `y` or among the predictions.

    A class that is never predicted correctly has an F1 of 0.
    """
    counts = _counts(*_classes_and_weights(y, predicted, weights), None)
    both = counts.sum(axis=0) + counts.sum(axis=1)  # predicted + true
    occurs = both > 0
    return _mean(2 * np.diag(counts)[occurs] / both[occurs], None)


def confusion_matrix(
    y: ArrayLike,
    predicted: ArrayLike,
    n_classes: int | None = None,
    weights: ArrayLike | None = None,
) -> Floats | Ints:
    """Count rows by true class (row of the matrix) and predicted class (column).

    Shape:
        (n,), (n,) -> (n_classes, n_classes)

    Args:
        y: class codes from 0.
        predicted: class codes from 0.
        n_classes: number of classes. None: the greatest code plus 1.
        weights: weights of the rows, which make the counts floats. None: counts are integers.
    """
    y, predicted, w = _classes_and_weights(y, predicted, weights)
    if weights is None:
        return _counts(y, predicted, None, n_classes).astype(np.int64)
    each = 1.0 if w is not None else _column(weights).max(initial=0.0)  # w is None if all are equal
    return _counts(y, predicted, w, n_classes) * each


def log_loss(y: ArrayLike, proba: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the mean negative logarithm of the predicted probability of the true class.

    Probabilities are raised to at least `LEAST_PROBABILITY`; they are not normalized to sum to 1.

    Shape:
        (n,), (n, n_classes) -> ()
    """
    y, proba, w = _proba_and_weights(y, proba, weights)
    of_true_class = proba[np.arange(len(y)), y].clip(LEAST_PROBABILITY, 1.0)
    return _mean(-np.log(of_true_class), w)


def brier(y: ArrayLike, proba: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the mean squared difference between the probabilities and the true classes.

    With two classes, only the second class's probability counts (0 to 1); with more, the squares
    are summed over the classes (0 to 2).

    Shape:
        (n,), (n, n_classes) -> ()
    """
    y, proba, w = _proba_and_weights(y, proba, weights)
    if proba.shape[1] == 2:
        return _mean((proba[:, 1] - y) ** 2, w)
    one_hot = y[:, None] == np.arange(proba.shape[1])
    return _mean(((proba - one_hot) ** 2).sum(axis=1), w)


def auc(y: ArrayLike, proba: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the probability that a row of a class ranks above a row of another class.

    A tie counts as half. With more than two classes, this is the mean over the classes in `y`, each
    compared with all others. NaN if `y` has a single class.

    Shape:
        (n,), (n, n_classes) -> ()

    Source: Hanley & McNeil 1982, Radiology 143; the area under the ROC curve is this probability.
    """
    y, proba, w = _proba_and_weights(y, proba, weights)
    if not np.isfinite(proba).all():
        return float("nan")
    if proba.shape[1] == 2:
        return _auc_of(y == 1, proba[:, 1], w)
    areas = np.array([_auc_of(y == code, proba[:, code], w) for code in range(proba.shape[1])])
    return _mean(areas[~np.isnan(areas)], None)


def rmse(y: ArrayLike, prediction: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the root of the mean squared error."""
    error, _, w = _errors_and_weights(y, prediction, weights)
    return _root_mean_square(error, w)


def mae(y: ArrayLike, prediction: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the mean absolute error."""
    error, _, w = _errors_and_weights(y, prediction, weights)
    return _mean(np.abs(error), w)


def r2(y: ArrayLike, prediction: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the explained share of the target's variance; a negative value is worse than the mean.

    NaN if the target is constant.
    """
    error, y, w = _errors_and_weights(y, prediction, weights)
    if len(y) == 0 or y.min() == y.max():
        return float("nan")
    spread = _root_mean_square(y - _mean(y, w), w)
    return 1.0 - (_root_mean_square(error, w) / spread) ** 2


def median_absolute_error(
    y: ArrayLike, prediction: ArrayLike, weights: ArrayLike | None = None
) -> float:
    """Return the median absolute error: rows with half of the total weight have a smaller error.

    If it falls between two errors, it is their midpoint.
    """
    error, _, w = _errors_and_weights(y, prediction, weights)
    if len(error) == 0 or np.isnan(error).any():
        return float("nan")
    if w is None:
        return float(np.median(np.abs(error)))
    order = np.argsort(np.abs(error), kind="stable")
    size, reached = np.abs(error)[order], np.cumsum(w[order])
    half = reached[-1] / 2
    low = size[np.searchsorted(reached, half, side="left")]
    high = size[np.searchsorted(reached, half, side="right")]
    return float(low + (high - low) / 2)


def classification_scores(
    y: ArrayLike, proba: ArrayLike, weights: ArrayLike | None = None
) -> dict[str, float]:
    """Return all scores of a classification; the prediction is the most probable class.

    Shape:
        (n,), (n, n_classes) -> name -> ()

    Args:
        y: class codes from 0.
        proba: one column for each class.
        weights: weights of the rows, at least 0.
    """
    predicted = np.asarray(proba, dtype=np.float64).argmax(axis=1)
    return {
        "accuracy": accuracy(y, predicted, weights),
        "balanced_accuracy": balanced_accuracy(y, predicted, weights),
        "log_loss": log_loss(y, proba, weights),
        "auc": auc(y, proba, weights),
        "brier": brier(y, proba, weights),
        "f1_macro": f1_macro(y, predicted, weights),
    }


def regression_scores(
    y: ArrayLike, prediction: ArrayLike, weights: ArrayLike | None = None
) -> dict[str, float]:
    """Return all scores of a regression.

    Shape:
        (n,), (n,) -> name -> ()
    """
    return {
        "rmse": rmse(y, prediction, weights),
        "mae": mae(y, prediction, weights),
        "r2": r2(y, prediction, weights),
        "median_absolute_error": median_absolute_error(y, prediction, weights),
    }


def _counts(y: Ints, predicted: Ints, w: Floats | None, n_classes: int | None) -> Floats:
    if n_classes is None:
        n_classes = 1 + int(max(y.max(initial=-1), predicted.max(initial=-1)))
    counts = np.bincount(y * n_classes + predicted, weights=w, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes).astype(np.float64)


def _auc_of(positive: NDArray[np.bool_], score: Floats, w: Floats | None) -> float:
    """Return the area under the ROC curve of one class against the rest."""
    weight = np.ones(len(score)) if w is None else w
    _, group = np.unique(score, return_inverse=True)  # equal scores are one group
    n_groups = int(group.max(initial=-1)) + 1
    ups = np.bincount(group, weights=weight * positive, minlength=n_groups)
    downs = np.bincount(group, weights=weight * ~positive, minlength=n_groups)
    pairs = ups.sum() * downs.sum()
    if pairs == 0:
        return float("nan")
    below = np.cumsum(downs) - downs
    return float((ups * (below + downs / 2)).sum() / pairs)


def _mean(values: Floats, w: Floats | None) -> float:
    if len(values) == 0:
        return float("nan")
    if w is None:
        return float(values.mean())
    return float((values * w).sum() / w.sum())


def _root_mean_square(values: Floats, w: Floats | None) -> float:
    """Return the root mean square, even of values whose squares would overflow."""
    if len(values) == 0:
        return float("nan")
    largest = float(np.abs(values).max())
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(_mean((values / largest) ** 2, w)))


def _column(values: ArrayLike) -> Floats:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(
            f"targets, predictions and weights must have one dimension; got shape={column.shape}."
        )
    return column


def _kept(
    n_rows: int, weights: ArrayLike | None
) -> tuple[slice | NDArray[np.bool_], Floats | None]:
    """Return which rows have a positive weight, and their weights (None if those are all equal)."""
    if weights is None:
        return slice(None), None
    w = _column(weights)
    _check_lengths("weights", len(w), n_rows)
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError("weights must be finite and at least 0, but one is not.")
    kept = w > 0
    w = w[kept]
    return kept, None if len(w) == 0 or w.min() == w.max() else w


def _kept_pairs(
    y: TargetsT, predicted: PredictedT, weights: ArrayLike | None
) -> tuple[TargetsT, PredictedT, Floats | None]:
    _check_lengths("predictions", len(predicted), len(y))
    kept, w = _kept(len(y), weights)
    return y[kept], predicted[kept], w


def _errors_and_weights(
    y: ArrayLike, prediction: ArrayLike, weights: ArrayLike | None
) -> tuple[Floats, Floats, Floats | None]:
    targets, numbers, w = _kept_pairs(_column(y), _column(prediction), weights)
    return numbers - targets, targets, w


def _classes_and_weights(
    y: ArrayLike, predicted: ArrayLike, weights: ArrayLike | None
) -> tuple[Ints, Ints, Floats | None]:
    return _kept_pairs(_codes(y), _codes(predicted), weights)


def _proba_and_weights(
    y: ArrayLike, proba: ArrayLike, weights: ArrayLike | None
) -> tuple[Ints, Floats, Floats | None]:
    y, proba = _codes(y), np.asarray(proba, dtype=np.float64)
    if proba.ndim != 2 or y.max(initial=-1) >= proba.shape[1]:
        raise ValueError(
            "proba must have a row for each target and a column for each class; got "
            f"shape={proba.shape}, and the greatest class is {y.max(initial=-1)}."
        )
    return _kept_pairs(y, proba, weights)


def _codes(values: ArrayLike) -> Ints:
    codes = _column(values)
    if not (np.isfinite(codes).all() and (codes >= 0).all() and (codes % 1 == 0).all()):
        raise ValueError("classes must be whole numbers from 0, but one is not.")
    return codes.astype(np.int64)


def _check_lengths(name: str, n_values: int, n_rows: int) -> None:
    if n_values != n_rows:
        raise ValueError(f"{name} must have one value for each of {n_rows} rows; got {n_values}.")
