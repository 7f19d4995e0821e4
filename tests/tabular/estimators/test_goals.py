"""What an estimator is trained for: class weights, a metric, one target."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import f1_score, mean_absolute_error
from sklearn.utils.class_weight import compute_sample_weight

from afina import AfinaClassifier, AfinaRegressor
from afina.errors import ConfigError, SchemaError

QUICK = {"d_block": 16, "n_blocks": 1, "max_epochs": 3, "lr": 0.01, "members": 2}


def labeled(n_rows: int = 200) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=n_rows), "b": rng.choice(list("xyz"), n_rows)})
    score = frame["a"] + (frame["b"] == "x") + rng.normal(size=n_rows)
    return frame, np.where(score > 1.5, "rare", "usual")


@pytest.mark.parametrize("holds_out", [{}, {"val_frac": 0.3}, {"label_smoothing": 0.1}])
@pytest.mark.parametrize("class_weight", ["balanced", {"rare": 5, "usual": 1}])
def test_class_weights_equal_row_weights(class_weight, holds_out):
    """Model and validation loss are those of the same weights passed as sample_weight."""
    x, y = labeled()
    one = AfinaClassifier(class_weight=class_weight, **QUICK, **holds_out).fit(x, y)
    rows = compute_sample_weight(class_weight, y)
    other = AfinaClassifier(**QUICK, **holds_out).fit(x, y, sample_weight=rows)
    plain = AfinaClassifier(**QUICK, **holds_out).fit(x, y)

    assert np.abs(one.predict_proba(x) - other.predict_proba(x)).max() <= 1e-12
    assert [record["val/loss"] for record in one.history_] == [
        record["val/loss"] for record in other.history_
    ]
    assert np.abs(one.predict_proba(x) - plain.predict_proba(x)).max() > 0.01
    assert "classes are weighted (rare: " in one.notes_[-1]


def test_scores_count_each_row_once():
    """The scores of the log are those of the predictions, without the weights of classes."""
    x, y = labeled()
    x_val, y_val = labeled(300)
    x_val, y_val = x_val[200:], y_val[200:]
    model = AfinaClassifier(class_weight="balanced", **QUICK).fit(x, y, X_val=x_val, y_val=y_val)
    best = model.history_[model.stop_.best_epoch - 1]

    assert best["val/accuracy"] == pytest.approx(model.score(x_val, y_val), abs=1e-12)


def test_class_weights_and_row_weights_multiply():
    """With both, a row counts as much as their product."""
    x, y = labeled()
    weights = 1.0 + np.arange(200) % 3
    both = weights * np.where(y == "rare", 4.0, 1.0)
    one = AfinaClassifier(class_weight={"rare": 4.0, "usual": 1.0}, **QUICK)
    one.fit(x, y, sample_weight=weights)
    other = AfinaClassifier(**QUICK).fit(x, y, sample_weight=both)

    assert (one.predict_proba(x) == other.predict_proba(x)).all()


@pytest.mark.parametrize(
    ("labels", "class_weight"),
    [
        ([0, 1], {0: 1, 1: 3}),
        ([0, 1], {np.int64(0): np.int64(1), np.float32(1): np.float32(3)}),
        ([0, 1], {False: 1, True: 3}),
        ([False, True], {0: 1, 1: 3}),
        ([False, True], {False: 1, True: 3}),
        (["0", "1"], {"0": 1, "1": 3}),
        (["n", "y"], pd.Series({"n": 1, "y": 3})),
    ],
)
def test_labels_of_class_weights_are_those_of_y(labels, class_weight):
    """Keys may be numbers, booleans or texts, of Python, numpy or pandas."""
    x, y = labeled()
    y = np.array(labels)[(y == "rare").astype(int)]
    model = AfinaClassifier(class_weight=class_weight, **QUICK).fit(x, y)
    other = AfinaClassifier(**QUICK)
    other.fit(x, y, sample_weight=np.where(y == np.array(labels)[1], 3, 1))

    assert (model.predict_proba(x) == other.predict_proba(x)).all()
    assert clone(model).class_weight is not None


@pytest.mark.parametrize(
    ("class_weight", "says"),
    [
        ({"rare": 1}, "none for 'usual'"),
        ({"rare": 1, "usual": 1, "often": 1}, "got 'often'"),
        ({"rare": -1, "usual": 1}, r"class_weight\['rare'\] must be a number, above 0; got -1"),
        ({"rare": "2", "usual": 1}, r"class_weight\['rare'\] must be a number"),
        ({"rare": True, "usual": 1}, r"class_weight\['rare'\] must be a number"),
        ("balance", "Did you mean 'balanced'"),
        ([1, 2], "class_weight must be a table of labels"),
        ({1: 2, "1": 3}, "'1' has two weights"),
    ],
)
def test_wrong_class_weights_are_named(class_weight, says):
    """What is no weight, no label, or too little is named."""
    x, y = labeled()
    with pytest.raises(ConfigError, match=says):
        AfinaClassifier(class_weight=class_weight, **QUICK).fit(x, y)


def test_a_regression_has_no_classes_to_weigh():
    """Class weights on a regressor are refused by name."""
    x, y = labeled()
    with pytest.raises(ConfigError, match="class_weight needs a target with classes"):
        AfinaRegressor(class_weight="balanced", **QUICK).fit(x, (y == "rare").astype(float))


@pytest.mark.parametrize("metric", ["auc", "f1", "balanced_accuracy", "log_loss", "brier"])
def test_a_metric_decides_which_epoch_is_best(metric):
    """Early stopping watches the metric, in its direction."""
    x, y = load_breast_cancer(return_X_y=True)
    model = AfinaClassifier(metric=metric, **QUICK).fit(x[:300], y[:300])
    values = [record[f"val/{metric}"] for record in model.history_]
    lower = metric in ("log_loss", "brier")

    assert model.stop_.monitor == f"val/{metric}"
    assert model.stop_.best == (min(values) if lower else max(values))


def test_f1_of_many_classes_is_their_mean():
    """With two classes f1 is that of the second; with more, it is the mean over all."""
    x, y = labeled()
    for labels in (y, np.array(["a", "b", "c"])[np.digitize(x["a"], [-0.5, 0.5])]):
        rows = slice(0, 150)
        held_out = slice(150, None)
        model = AfinaClassifier(metric="f1", **QUICK).fit(
            x[rows], labels[rows], X_val=x[held_out], y_val=labels[held_out]
        )
        predicted, classes = model.predict(x[held_out]), np.unique(labels)
        how = {"average": "macro"} if len(classes) > 2 else {"pos_label": classes[1]}
        expected = f1_score(labels[held_out], predicted, **how)

        assert model.stop_.best == pytest.approx(expected, abs=1e-9)


def test_a_metric_of_numbers():
    """A regressor stops by the metric that it was given."""
    x, _ = labeled()
    y = x["a"].to_numpy() * 3
    model = AfinaRegressor(metric="mae", **QUICK)
    model.fit(x[:150], y[:150], X_val=x[150:], y_val=y[150:])

    expected = mean_absolute_error(y[150:], model.predict(x[150:]))
    assert model.stop_.best == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "metric", "says"),
    [
        (AfinaClassifier, "rmse", "metric must be one of accuracy, .*got 'rmse'.*AfinaRegressor"),
        (AfinaRegressor, "auc", "metric must be one of rmse, mae, r2.*got 'auc'"),
        (AfinaClassifier, "roc_auc", "Did you mean 'auc'"),
        (AfinaClassifier, "F1", "Did you mean 'f1'"),
        (AfinaRegressor, "RMSE", "Did you mean 'rmse'"),
        (AfinaRegressor, "mse", "Did you mean 'rmse'"),
        (AfinaRegressor, "neg_mean_absolute_error", "Did you mean 'mae'"),
        (AfinaClassifier, f1_score, "metric must be one of"),
    ],
)
def test_a_wrong_metric_is_refused(kind, metric, says):
    """A metric of another task, a typo and a function are refused, with the names there are."""
    x, y = labeled()
    with pytest.raises(ConfigError, match=says):
        kind(metric=metric, **QUICK).fit(x, (y == "rare").astype(int))


@pytest.mark.parametrize("kind", [AfinaClassifier, AfinaRegressor])
@pytest.mark.parametrize("form", [np.asarray, pd.DataFrame, np.ndarray.tolist])
def test_several_targets_are_refused(kind, form):
    """A model predicts one target; one-hot columns are one, and the message says how."""
    x, y = labeled()
    several = form(np.eye(2, dtype=int)[(y == "rare").astype(int)])
    with pytest.raises(SchemaError, match=r"y must be one column.*shape \(200, 2\).*argmax"):
        kind(**QUICK).fit(x, several)
