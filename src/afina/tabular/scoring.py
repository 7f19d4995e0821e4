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
    f1,
    regression_scores,
)
from afina.records.summary_json import Confusion, Scatter, Score
from afina.table import Label
from afina.tabular.comparison import describe_doubt, is_gain
from afina.tabular.preparation.rows import Rows
from afina.train.settings import StopSettings

Floats = NDArray[np.float64]

_COMMON_SHARE = 0.8
_MOST_CLASSES_SHOWN = 200
_MOST_POINTS = 2000
_CLASS_SCORES = ("accuracy", "balanced_accuracy", "log_loss", "auc", "brier", "f1", "f1_macro")
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


def learn_baseline(train: Rows, n_classes: int, weights: Floats | None = None) -> Baseline:
    """Learn the class shares of the training rows, or their mean target if `n_classes` is 0.

    Args:
        weights: weights of the rows. None: those that scores use.
    """
    weights = train.for_scores if weights is None else weights
    if n_classes == 0:
        return Baseline(mean=float(np.average(train.y, weights=weights)))
    counts = np.bincount(train.y, weights=weights, minlength=n_classes)
    return Baseline(shares=tuple((counts / counts.sum()).tolist()))


def score(
    predictions: Floats, y: NDArray[Any], weights: Floats | None, metric: str | None = None
) -> dict[str, float]:
    """Return every score of probabilities (n, n_classes) or numbers (n,).

    Args:
        metric: the score that comes first. `f1` is among the scores only if it is requested here.
            None: the usual order.
    """
    if predictions.ndim == 1:
        scores = regression_scores(y, predictions, weights)
    else:
        scores = classification_scores(y, predictions, weights)
        if metric == "f1":
            is_binary = predictions.shape[1] == 2
            labels = predictions.argmax(axis=1)
            scores[metric] = f1(y, labels, weights) if is_binary else scores["f1_macro"]
    return scores if metric not in scores else {metric: scores[metric], **scores}


def scores_of_task(n_classes: int) -> tuple[str, ...]:
    """Name the scores of a target with this number of classes, 0 for regression."""
    return _CLASS_SCORES if n_classes else _NUMBER_SCORES


def check_watched(settings: StopSettings, n_classes: int) -> bool | None:
    """Return whether higher values of the metric that decides are better; None for the loss.

    Raises:
        ConfigError: there is no such score for this task.
    """
    if settings.metric is None:
        return check_monitor(settings.monitor, n_classes)
    names = scores_of_task(n_classes)
    if settings.metric not in names:
        what = "classes" if n_classes else "numbers"
        other = "regression" if n_classes else "classification"
        raise ConfigError(
            f"metric must be one of {', '.join(names)} for a target of {what}",
            got=repr(settings.metric),
            fix=f"Choose one of them, or add --task {other} (in Python: "
            f"{'AfinaRegressor' if n_classes else 'AfinaClassifier'}).",
        )
    return HIGHER_IS_BETTER[settings.metric]


def check_monitor(monitor: str, n_classes: int) -> bool | None:
    """Return whether higher values of the monitored metric are better; None for the loss.

    Raises:
        ConfigError: there is no such score for this task.
    """
    names = scores_of_task(n_classes)
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


def choose_headline(
    n_classes: int, baseline: Baseline, metric: str | None = None, *, weighted: bool = False
) -> str:
    """Choose the headline score.

    For classes it is accuracy, unless nearly all rows belong to one class: then accuracy says
    little.

    Args:
        metric: the score that was requested.
        weighted: classes are weighted, so that accuracy is not what the model was trained for.

    Example:
        >>> choose_headline(2, Baseline((0.9, 0.1))), choose_headline(0, Baseline(mean=1.0))
        ('auc', 'rmse')
    """
    if metric is not None:
        return metric
    if n_classes == 0:
        return "rmse"
    if max(baseline.shares) <= _COMMON_SHARE:
        return "balanced_accuracy" if weighted else "accuracy"
    return "auc" if n_classes == 2 else "balanced_accuracy"


def describe_baseline(baseline: Baseline, classes: tuple[Label, ...]) -> str:
    """Describe what the baseline predicts, in words."""
    if baseline.mean is not None:
        return f"always the mean of the training rows, {baseline.mean:.5g}"
    return f"always {str(classes[np.argmax(baseline.shares)])!r:.60}, the most common class"


def judge(
    predictions: Floats,
    rows: Rows,
    baseline: Baseline,
    classes: tuple[Label, ...],
    metric: str | None = None,
) -> Verdict:
    """Score the predictions of the model and of the baseline on the same rows.

    Args:
        metric: the headline score. None: the usual one.
    """
    n_classes = len(classes)
    below_predictions = baseline.predict(len(rows))
    scores = score(predictions, rows.y, rows.for_scores, metric)
    below = score(below_predictions, rows.y, rows.for_scores, metric)
    name = choose_headline(n_classes, baseline, metric)
    doubt = ""
    if is_gain(name, scores[name], below[name]):
        doubt = describe_doubt(
            name,
            predictions,
            below_predictions,
            rows.y,
            rows.for_scores,
            weighted_classes=rows.score_weights is not None,
        )
    return Verdict(
        score=Score(
            name=name,
            value=scores[name],
            baseline=below[name],
            higher_is_better=HIGHER_IS_BETTER[name],
            baseline_is=describe_baseline(baseline, classes),
            caution=doubt,
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
