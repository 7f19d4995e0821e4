"""Scores of predictions, next to the scores of a baseline that ignores the features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from afina.errors import ConfigError
from afina.metrics import (
    HIGHER_IS_BETTER,
    classification_scores,
    confusion_matrix,
    regression_scores,
)
from afina.records.summary_json import Confusion, Scatter, Score
from afina.table import Label
from afina.tabular.preparation.rows import Rows

Floats = NDArray[np.float64]

_COMMON_SHARE = 0.8
_MOST_CLASSES_SHOWN = 200
_MOST_POINTS = 2000
_CLASS_SCORES = ("accuracy", "balanced_accuracy", "log_loss", "auc", "brier", "f1_macro")
_NUMBER_SCORES = ("rmse", "mae", "r2", "median_absolute_error")


class Verdict(NamedTuple):
    """The part of `summary.json` that says how good the model is.

    Args:
        score: the headline score.
        scores: every score of the model.
        baseline_scores: every score of the baseline.
        confusion: the confusion matrix. None: the target is a number, or there are too many
            classes.
        scatter: predicted and true values. None: the target has classes.
    """

    score: Score
    scores: Mapping[str, float]
    baseline_scores: Mapping[str, float]
    confusion: Confusion | None
    scatter: Scatter | None


@dataclass(frozen=True)
class Baseline:
    """The best prediction without features, learned from the training rows.

    Args:
        shares: share of each class by weight; empty for regression.
        mean: weighted mean of a regression target. None: the target has classes.
    """

    shares: tuple[float, ...] = ()
    mean: float | None = None

    def predict(self, n_rows: int) -> Floats:
        """Return the same probabilities, or the same number, for every row."""
        if self.mean is not None:
            return np.full(n_rows, self.mean)
        return np.tile(np.array(self.shares), (n_rows, 1))


def learn_baseline(train: Rows, n_classes: int) -> Baseline:
    """Learn the class shares of the training rows, or their mean target if `n_classes` is 0."""
    if n_classes == 0:
        return Baseline(mean=float(np.average(train.y, weights=train.weights)))
    counts = np.bincount(train.y, weights=train.weights, minlength=n_classes)
    return Baseline(shares=tuple((counts / counts.sum()).tolist()))


def score(predictions: Floats, y: NDArray[Any], weights: Floats | None) -> dict[str, float]:
    """Return every score of probabilities (n, n_classes) or numbers (n,)."""
    if predictions.ndim == 2:
        return classification_scores(y, predictions, weights)
    return regression_scores(y, predictions, weights)


def check_monitor(monitor: str, n_classes: int) -> bool | None:
    """Return whether higher values of the monitored metric are better; None for the loss.

    Raises:
        ConfigError: there is no such score for this task.
    """
    names = _CLASS_SCORES if n_classes else _NUMBER_SCORES
    name = monitor.removeprefix("val/")
    if name == "loss":
        return None
    if name not in names:
        known = ", ".join(f"val/{known}" for known in ("loss", *names))
        raise ConfigError(
            f"stop.monitor must be one of {known} for this target",
            got=repr(monitor),
            fix="Choose one of them.",
        )
    return HIGHER_IS_BETTER[name]


def choose_headline(n_classes: int, baseline: Baseline) -> str:
    """Choose the headline score.

    For classes it is accuracy, unless nearly all rows belong to one class: then accuracy says
    little.

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
    """Describe what the baseline predicts, in words."""
    if baseline.mean is not None:
        return f"always the mean of the training rows, {baseline.mean:.5g}"
    return f"always {str(classes[np.argmax(baseline.shares)])!r:.60}, the commonest class"


def judge(
    predictions: Floats, rows: Rows, baseline: Baseline, classes: tuple[Label, ...]
) -> Verdict:
    """Score the predictions of the model and of the baseline on the same rows."""
    n_classes = len(classes)
    scores = score(predictions, rows.y, rows.weights)
    below = score(baseline.predict(len(rows)), rows.y, rows.weights)
    name = choose_headline(n_classes, baseline)
    return Verdict(
        score=Score(
            name=name,
            value=scores[name],
            baseline=below[name],
            higher_is_better=HIGHER_IS_BETTER[name],
            baseline_is=describe_baseline(baseline, classes),
        ),
        scores=scores,
        baseline_scores=below,
        confusion=_confusion(predictions, rows, classes),
        scatter=_scatter(predictions, rows) if n_classes == 0 else None,
    )


def finite(value: float) -> float | None:
    """Return a number that JSON can hold: None instead of NaN and infinity."""
    return float(value) if np.isfinite(value) else None


def _confusion(predictions: Floats, rows: Rows, classes: tuple[Label, ...]) -> Confusion | None:
    if not classes or len(classes) > _MOST_CLASSES_SHOWN:
        return None
    counts = confusion_matrix(rows.y, predictions.argmax(axis=1), len(classes))
    return Confusion(tuple(map(str, classes)), tuple(map(tuple, counts.tolist())))


def _scatter(predictions: Floats, rows: Rows) -> Scatter:
    """Return all rows, or an even selection of them if there are many."""
    n_rows = len(rows)
    n_shown = min(n_rows, _MOST_POINTS)
    picked = np.arange(n_shown) * n_rows // n_shown
    return Scatter(tuple(rows.y[picked].tolist()), tuple(predictions[picked].tolist()))
