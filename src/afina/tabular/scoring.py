"""Scores of predictions beside those of no learning at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afina.errors import ConfigError
from afina.metrics import (
    HIGHER_IS_BETTER,
    classification_scores,
    confusion_matrix,
    regression_scores,
)
from afina.table import Label
from afina.tabular.preparation.rows import Rows

Floats = NDArray[np.float64]

_COMMON_SHARE = 0.8
_MOST_CLASSES_SHOWN = 200
_MOST_POINTS = 2000
_CLASS_SCORES = ("accuracy", "balanced_accuracy", "log_loss", "auc", "brier", "f1_macro")
_NUMBER_SCORES = ("rmse", "mae", "r2", "median_absolute_error")


@dataclass(frozen=True)
class Baseline:
    """What can be said without looking at a row, learned from the training rows.

    Args:
        shares: share of each class by weight; empty for regression.
        mean: weighted mean of a regression target; none for classes.
    """

    shares: tuple[float, ...] = ()
    mean: float | None = None

    def answer(self, n_rows: int) -> Floats:
        """Return the same probabilities, or the same number, for every row."""
        if self.mean is not None:
            return np.full(n_rows, self.mean)
        return np.tile(np.array(self.shares), (n_rows, 1))


def learn_baseline(train: Rows, n_classes: int) -> Baseline:
    """Take class shares or the mean from the training rows; `n_classes` 0 is regression."""
    if n_classes == 0:
        return Baseline(mean=float(np.average(train.y, weights=train.weights)))
    counts = np.bincount(train.y, weights=train.weights, minlength=n_classes)
    return Baseline(shares=tuple((counts / counts.sum()).tolist()))


def score(answers: Floats, y: NDArray[Any], weights: Floats | None) -> dict[str, float]:
    """Score probabilities (n, n_classes) or numbers (n,) in every way there is."""
    if answers.ndim == 2:
        return classification_scores(y, answers, weights)
    return regression_scores(y, answers, weights)


def check_monitor(monitor: str, n_classes: int) -> bool | None:
    """Say whether more of the monitored metric is better; none for the loss, which knows itself.

    Raises:
        ConfigError: no such score for this task.
    """
    names = _CLASS_SCORES if n_classes else _NUMBER_SCORES
    name = monitor.removeprefix("val/")
    if name == "loss":
        return None
    if name not in names:
        known = ", ".join(f"val/{known}" for known in ("loss", *names))
        raise ConfigError(
            f"stop.monitor must be one of {known} for this target, however: {monitor!r}."
        )
    return HIGHER_IS_BETTER[name]


def choose_headline(n_classes: int, baseline: Baseline) -> str:
    """Choose the one score a person looks at.

    Accuracy, unless nearly all rows are of one class, where it says little.

    Example:
        >>> choose_headline(2, Baseline((0.9, 0.1))), choose_headline(0, Baseline(mean=1.0))
        ('auc', 'rmse')
    """
    if n_classes == 0:
        return "rmse"
    if max(baseline.shares) <= _COMMON_SHARE:
        return "accuracy"
    return "auc" if n_classes == 2 else "balanced_accuracy"


def describe_baseline(baseline: Baseline, classes: tuple[Label, ...]) -> str:
    """Say what the baseline answers, as a person would."""
    if baseline.mean is not None:
        return f"always the mean of the training rows, {baseline.mean:.5g}"
    common = int(np.argmax(baseline.shares))
    return f"always {str(classes[common])!r:.60}, the commonest class"


def judge(
    answers: Floats, rows: Rows, baseline: Baseline, classes: tuple[Label, ...]
) -> dict[str, Any]:
    """Score a model's answers beside the baseline: part of `summary.json`."""
    n_classes = len(classes)
    scores = score(answers, rows.y, rows.weights)
    below = score(baseline.answer(len(rows)), rows.y, rows.weights)
    name = choose_headline(n_classes, baseline)
    return {
        "score": {
            "name": name,
            "value": finite(scores[name]),
            "baseline": finite(below[name]),
            "higher_is_better": HIGHER_IS_BETTER[name],
            "baseline_is": describe_baseline(baseline, classes),
        },
        "scores": {key: finite(value) for key, value in scores.items()},
        "baseline_scores": {key: finite(value) for key, value in below.items()},
        "confusion": _confusion(answers, rows, classes),
        "scatter": _scatter(answers, rows) if n_classes == 0 else None,
    }


def finite(value: float) -> float | None:
    """Return a number that JSON can hold: NaN is null."""
    return float(value) if np.isfinite(value) else None


def _confusion(answers: Floats, rows: Rows, classes: tuple[Label, ...]) -> Mapping[str, Any] | None:
    if not classes or len(classes) > _MOST_CLASSES_SHOWN:
        return None
    counts = confusion_matrix(rows.y, answers.argmax(axis=1), len(classes))
    return {"labels": [str(label) for label in classes], "counts": counts.tolist()}


def _scatter(answers: Floats, rows: Rows) -> Mapping[str, Any]:
    """Take every so many rows, where there are many."""
    n_rows = len(rows)
    n_shown = min(n_rows, _MOST_POINTS)
    picked = np.arange(n_shown) * n_rows // n_shown
    return {
        "true": [finite(value) for value in rows.y[picked]],
        "predicted": [finite(value) for value in answers[picked]],
    }
