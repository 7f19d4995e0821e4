"""Scores equal those of scikit-learn, and a weight of 2 is the row twice."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st

from afina import metrics
from afina.metrics import HIGHER_IS_BETTER

Table = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def classes(draw: st.DrawFn) -> Table:
    """Draw targets, probabilities (with many ties) and whole weights, some of them 0."""
    n_classes, n_rows = draw(st.integers(2, 4)), draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    proba = rng.integers(1, 5, (n_rows, n_classes)).astype(float)
    proba /= proba.sum(axis=1, keepdims=True)
    weights = rng.integers(0, 4, n_rows)
    weights[0] = 1
    return rng.integers(0, n_classes, n_rows), proba, weights


@st.composite
def numbers(draw: st.DrawFn) -> Table:
    """Draw targets, predictions and whole weights, some of them 0."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_rows, scale = draw(st.integers(1, 30)), 10.0 ** draw(st.integers(-6, 6))
    weights = rng.integers(0, 4, n_rows)
    weights[0] = 1
    return rng.normal(3, scale, n_rows), rng.normal(3, scale, n_rows), weights


def same(ours: dict[str, float], theirs: dict[str, float]) -> None:
    """Compare scores by name to rounding, NaN equal to NaN."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name], rel=1e-9, abs=1e-12, nan_ok=True), name


@given(classes())
def test_class_scores_are_those_of_scikit_learn(table: Table) -> None:
    """Every score of classes equals scikit-learn's, with weights, ties and missing classes."""
    y, proba, w = table
    y, proba, w = y[w > 0], proba[w > 0], w[w > 0]
    codes = np.arange(proba.shape[1])
    predicted = proba.argmax(axis=1)
    counts = reference.confusion_matrix(y, predicted, labels=codes, sample_weight=w)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one class, and of classes predicted but absent
        theirs = {
            "accuracy": reference.accuracy_score(y, predicted, sample_weight=w),
            "balanced_accuracy": reference.balanced_accuracy_score(y, predicted, sample_weight=w),
            "log_loss": reference.log_loss(y, proba, sample_weight=w, labels=codes),
            "brier": reference.brier_score_loss(y, proba, sample_weight=w, labels=codes),
            "f1_macro": reference.f1_score(y, predicted, sample_weight=w, average="macro"),
        }
        each = [
            reference.roc_auc_score(y == code, proba[:, code], sample_weight=w)
            for code in (codes if len(codes) > 2 else [1])
            if 0 < (y == code).sum() < len(y)
        ]
    theirs["auc"] = float(np.mean(each)) if each else float("nan")

    same(metrics.classification_scores(y, proba, w), theirs)
    assert counts.tolist() == metrics.confusion_matrix(y, predicted, len(codes), w).tolist()


@given(numbers())
def test_number_scores_are_those_of_scikit_learn(table: Table) -> None:
    """Every score of numbers equals scikit-learn's, with weights."""
    y, prediction, w = table
    keep = w > 0
    theirs = {
        "rmse": reference.root_mean_squared_error(y, prediction, sample_weight=w),
        "mae": reference.mean_absolute_error(y, prediction, sample_weight=w),
        "r2": float("nan"),
        "median_absolute_error": reference.median_absolute_error(
            np.repeat(y, w), np.repeat(prediction, w)
        ),
    }
    if keep.sum() > 1:
        theirs["r2"] = reference.r2_score(y, prediction, sample_weight=w)

    same(metrics.regression_scores(y, prediction, w), theirs)


@given(classes())
def test_a_weight_is_a_repetition_of_the_row_for_classes(table: Table) -> None:
    """Whole weights score as the repeated rows do; rows of weight 0 do not exist."""
    y, proba, w = table

    same(
        metrics.classification_scores(y, proba, w),
        metrics.classification_scores(np.repeat(y, w), np.repeat(proba, w, axis=0)),
    )


@given(numbers())
def test_a_weight_is_a_repetition_of_the_row_for_numbers(table: Table) -> None:
    """Whole weights score as the repeated rows do; rows of weight 0 do not exist."""
    y, prediction, w = table

    same(
        metrics.regression_scores(y, prediction, w),
        metrics.regression_scores(np.repeat(y, w), np.repeat(prediction, w)),
    )


@given(classes(), numbers(), st.sampled_from([0.3, 1.0, 7.0]))
def test_equal_weights_are_no_weights_bitwise(table: Table, other: Table, weight: float) -> None:
    """Equal weights change no bit of a score."""
    y, proba, _ = table
    plain = metrics.classification_scores(y, proba)
    weighted = metrics.classification_scores(y, proba, np.full(len(y), weight))
    assert repr(plain) == repr(weighted)

    y, prediction, _ = other
    plain = metrics.regression_scores(y, prediction)
    weighted = metrics.regression_scores(y, prediction, np.full(len(y), weight))
    assert repr(plain) == repr(weighted)


def test_the_repetition_test_catches_a_score_that_drops_weights() -> None:
    """Seeded fault: a score without its weights differs from that of the repeated rows."""
    y, proba, w = np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([1, 3])
    repeated = metrics.classification_scores(np.repeat(y, w), np.repeat(proba, w, axis=0))

    with pytest.raises(AssertionError):
        same(metrics.classification_scores(y, proba), repeated)


def test_what_is_not_defined_is_nan() -> None:
    """One class has no AUC, a constant target no r2, and no rows no score at all."""
    one_class = metrics.classification_scores([1, 1], [[0.5, 0.5], [0.1, 0.9]])
    constant = metrics.regression_scores([2.0, 2.0], [1.0, 2.0])

    assert [name for name, value in one_class.items() if np.isnan(value)] == ["auc"]
    assert [name for name, value in constant.items() if np.isnan(value)] == ["r2"]
    assert np.isnan(list(metrics.regression_scores([], []).values())).all()
    assert np.isnan(list(metrics.classification_scores([], np.empty((0, 2))).values())).all()
    assert np.isnan(list(metrics.regression_scores([1.0], [1.0], [0.0]).values())).all()


def test_a_class_that_does_not_occur_is_left_out_of_the_area() -> None:
    """The AUC of three classes of which one does not occur is that of the others."""
    proba = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])

    assert metrics.auc([0, 1, 0], proba) == 1.0


def test_sure_mistakes_cost_a_bounded_loss() -> None:
    """A probability of 0 for the true class costs -log(1e-15), as stated."""
    assert metrics.log_loss([0], [[0.0, 1.0]]) == pytest.approx(34.538776394910684)


def test_large_numbers_do_not_overflow() -> None:
    """Errors whose squares overflow still have a root mean square and an r2."""
    scores = metrics.regression_scores([1e200, 3e200], [2e200, 2e200])

    assert scores["rmse"] == pytest.approx(1e200)
    assert scores["r2"] == pytest.approx(0.0)


def test_numbers_that_are_not_finite_give_no_false_score() -> None:
    """A NaN among predictions gives NaN scores, not a number."""
    assert np.isnan(metrics.auc([0, 1], [[0.5, 0.5], [np.nan, np.nan]]))
    assert np.isnan(metrics.log_loss([0, 1], [[0.5, 0.5], [np.nan, np.nan]]))
    assert np.isnan(list(metrics.regression_scores([0.0, 1.0], [np.nan, 1.0]).values())).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.accuracy([0, 1], [0]),
        lambda: metrics.accuracy([0, 0.5], [0, 1]),
        lambda: metrics.accuracy([0, -1], [0, 1]),
        lambda: metrics.accuracy([0, np.nan], [0, 1]),
        lambda: metrics.accuracy([0, 1], [0, 1], [1]),
        lambda: metrics.accuracy([0, 1], [0, 1], [1, -1]),
        lambda: metrics.accuracy([0, 1], [0, 1], [1, np.nan]),
        lambda: metrics.log_loss([0, 2], [[0.5, 0.5], [0.5, 0.5]]),
        lambda: metrics.log_loss([0, 1], [0.5, 0.5]),
        lambda: metrics.log_loss([0], [[0.5, 0.5], [0.5, 0.5]]),
        lambda: metrics.rmse([[1.0]], [[1.0]]),
    ],
)
def test_what_does_not_fit_together_is_refused(call: Callable[[], float]) -> None:
    """Wrong lengths, shapes, codes and weights raise ValueError."""
    with pytest.raises(ValueError, match=r"must be|must have"):
        call()


def test_every_score_says_whether_more_is_better() -> None:
    """The names of the scores are those of `HIGHER_IS_BETTER`; a better prediction is better."""
    y = np.array([0, 1, 1, 0])
    good, bad = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.7, 0.3]]), np.full((4, 2), 0.5)
    pairs = [
        (metrics.classification_scores(y, good), metrics.classification_scores(y, bad)),
        (metrics.regression_scores(y, good[:, 1]), metrics.regression_scores(y, bad[:, 1])),
    ]
    for better, worse in pairs:
        for name, value in better.items():
            assert (value > worse[name]) == HIGHER_IS_BETTER[name]
    assert HIGHER_IS_BETTER.keys() - {"f1"} == {name for better, _ in pairs for name in better}


@pytest.mark.parametrize("weighted", [False, True])
def test_f1_is_that_of_the_second_class(weighted: bool) -> None:
    """F1 is scikit-learn's for class 1, with weights too; without such a row it is 0."""
    rng = np.random.default_rng(0)
    y, predicted = rng.integers(0, 2, (2, 50))
    weights = rng.random(50) if weighted else None
    expected = reference.f1_score(y, predicted, sample_weight=weights)

    assert metrics.f1(y, predicted, weights) == pytest.approx(expected, rel=1e-12)
    assert metrics.f1([0, 0], [0, 0]) == 0.0
    assert np.isnan(metrics.f1([], []))
