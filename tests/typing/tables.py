"""Fit, load and predict tables: what a user writes, and what must not pass."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import afina
from afina.tabular import Predictor


def fit(features: object, target: NDArray[np.int64]) -> NDArray[Any]:
    """Fit a classifier and predict."""
    model = afina.AfinaClassifier(max_epochs=3, lr=3e-3, random_state=0, kinds={"zip": "text"})
    fitted: afina.AfinaClassifier = model.fit(features, target)
    probabilities: NDArray[np.float64] = fitted.predict_proba(features)
    assert len(probabilities)
    return fitted.predict(features)


def fit_from_preset() -> afina.AfinaRegressor:
    """A preset gives an estimator of the class it was asked of."""
    return afina.AfinaRegressor.from_preset("fast", random_state=1)


def load(folder: str) -> float:
    """Load a model and predict a table and a row."""
    predictor: Predictor = afina.load(folder)
    labels: NDArray[Any] = predictor.predict({"age": [1.0, 2.0]})
    probabilities: NDArray[np.float64] = predictor.predict_proba_row({"age": 1.0})
    classes: tuple[str | bool | int | float, ...] = predictor.classes
    return float(probabilities[0]) + len(labels) + len(classes)


# What must not pass: an ignore that is not needed is an error, so these lines are checked as well.
afina.AfinaClassifier(max_epoch=3)  # type: ignore[call-arg]
afina.AfinaClassifier(max_epochs="three")  # type: ignore[arg-type]
afina.AfinaClassifier(kinds={"zip": "zipcode"})  # type: ignore[dict-item]
afina.load(7)  # type: ignore[arg-type]
