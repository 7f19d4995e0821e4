"""Choose the model of a fit with a time limit: the baseline if the network is no better."""

from typing import NamedTuple

import numpy as np

from afina.config import Config
from afina.table import Features
from afina.tabular.comparison import CLEAR, is_gain, mean_gain
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.preparation.prepare import Prepared
from afina.tabular.preparation.rows import Floats, Rows
from afina.tabular.scoring import Baseline, describe_baseline, learn_baseline, score
from afina.tabular.training.constant_model import make_constant_
from afina.train import StopEvent


class Settled(NamedTuple):
    """What is shipped.

    Args:
        predictor: the model.
        predictions: those for the validation rows. None: they were not needed.
        is_constant: whether it is the baseline.
        remark: a sentence if there was not enough time.
    """

    predictor: Predictor
    predictions: Floats | None = None
    is_constant: bool = False
    remark: str = ""


def settle_model(
    predictor: Predictor, prepared: Prepared, config: Config, stop: StopEvent
) -> Settled:
    """Replace a network that there was not enough time to train with the baseline.

    Without a time limit, the network always stays. With one, it stays if it is better
    than the baseline on the validation rows: in the loss, by more than the standard error of the
    gain (by twice as much if it has not seen all training rows once), or in the metric that was
    requested. So, whatever the limit, rows that it has not seen are rarely predicted worse than by the
    baseline. Without validation rows, it stays if one epoch was finished.
    """
    limit = config.stop.time_limit
    if limit is None:
        return Settled(predictor)
    n_classes = len(prepared.classes)
    baseline = learn_baseline(prepared.train, n_classes, prepared.train.weights)
    rows = prepared.val
    predictions = None
    is_better = stop.epoch > 0
    if rows is not None and stop.step > 0:
        predictions = predict_rows(predictor, rows)
        is_better = _is_better(predictions, rows, baseline, config, stop)
    if not is_better:
        make_constant_(predictor.model, baseline)
        constant = predictor.remade()
        predictions = None if rows is None else _predict_alike(constant, rows)
        what = describe_baseline(baseline, prepared.classes)
        return Settled(constant, predictions, True, _explain_baseline(limit, stop, what))
    remark = ""
    if stop.epoch == 0:
        remark = (
            f"The time limit of {limit:g} s ended training before the first epoch was complete: "
            "the network has not seen all rows. Give it more time for a better model."
        )
    return Settled(predictor, predictions, remark=remark)


def predict_rows(predictor: Predictor, rows: Rows) -> Floats:
    """Predict validation rows; with folds, each is predicted by the members that held it out."""
    features = Features(rows.x_num, rows.x_cat, rows.x_time)
    return predictor.predict_features(features, "the table", rows.folds)


def _predict_alike(constant: Predictor, rows: Rows) -> Floats:
    """Predict one row, and repeat its prediction for all others."""
    first = Features(rows.x_num[:1], rows.x_cat[:1], rows.x_time[:1])
    return np.repeat(constant.predict_features(first, "the table"), len(rows), axis=0)


def _explain_baseline(limit: float, stop: StopEvent, what: str) -> str:
    """Say why the model is the baseline, and what to do."""
    if stop.step == 0:
        why = f"The time limit of {limit:g} s ran out before training began"
    elif stop.epoch == 0:
        why = (
            f"The time limit of {limit:g} s ended training in the first epoch, with a network no "
            "better than the baseline"
        )
    else:
        why = (
            f"With a time limit of {limit:g} s, the network was not clearly better than the "
            f"baseline when training ended, after epoch {stop.epoch:,}"
        )
    return (
        f"{why}, so the model is the baseline: {what}, whatever the features. Give it more time, or "
        "leave the limit out."
    )


def _is_better(
    predictions: Floats, rows: Rows, baseline: Baseline, config: Config, stop: StopEvent
) -> bool:
    """Return whether predictions are better than those of the baseline."""
    others = baseline.predict(len(rows))
    name = "rmse" if predictions.ndim == 1 else "log_loss"
    gain, error = mean_gain(name, predictions, others, rows.y, rows.weights)
    if gain > error * (1.0 if stop.epoch else CLEAR):
        return True
    metric = config.stop.watched.removeprefix("val/")
    if metric == "loss" or not stop.epoch:
        return False
    own, other = (
        score(part, rows.y, rows.for_scores, metric)[metric] for part in (predictions, others)
    )
    return is_gain(metric, own, other)
