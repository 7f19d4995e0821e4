"""Whether a model is clearly better than its baseline."""

import numpy as np
import pytest

from afina.tabular.comparison import describe_doubt, mean_gain
from afina.tabular.preparation.rows import Rows
from afina.tabular.scoring import Baseline, judge


def rows_of(y, weights=None, score_weights=None):
    n = len(y)
    none = np.empty((n, 0))
    weights = np.ones(n) if weights is None else weights
    return Rows(none, none.astype(np.int64), none, y, weights, None, score_weights)


def probabilities(p):
    return np.column_stack([1 - p, p])


@pytest.mark.parametrize("name", ["log_loss", "accuracy", "brier"])
def test_the_gain_is_the_difference_of_the_scores(rng, name):
    """The mean gain is the difference of both scores, with weights too."""
    from afina.metrics import HIGHER_IS_BETTER, classification_scores

    y, weights = rng.integers(0, 3, 60), rng.random(60) + 0.1
    one, other = rng.dirichlet(np.ones(3), (2, 60))
    gain, error = mean_gain(name, one, other, y, weights)
    difference = (
        classification_scores(y, other, weights)[name]
        - classification_scores(y, one, weights)[name]
    )

    assert gain == pytest.approx(-difference if HIGHER_IS_BETTER[name] else difference, rel=1e-9)
    assert error > 0


def test_gains_of_huge_numbers_do_not_overflow():
    """Squares of numbers near the largest are compared, not infinite."""
    y = np.array([0.0, 1e300])
    gain, error = mean_gain("rmse", y, np.array([1e300, 0.0]), y, np.ones(2))

    assert (gain, error) == (1.0, 0.0)


def test_a_clear_gain_leaves_no_doubt(rng):
    """A model that knows the target is better beyond doubt, in every score."""
    y = rng.integers(0, 2, 200)
    sure = probabilities(np.where(y == 1, 0.9, 0.1))
    shares = np.tile([0.5, 0.5], (200, 1))
    for name in ("accuracy", "log_loss", "brier", "auc", "f1"):
        assert describe_doubt(name, sure, shares, y, np.ones(200)) == ""


def test_probabilities_worse_than_the_shares_are_named():
    """A better accuracy does not hide a log_loss that is worse than the baseline's."""
    y = np.repeat([0, 1], [280, 120])
    p = np.where(y == 1, 0.51, 0.49)
    p[:40] = 1 - 1e-6  # a tenth is sure and wrong
    verdict = judge(probabilities(p), rows_of(y), Baseline((0.7, 0.3)), ("a", "b"))

    assert verdict.score.value == 0.9 > verdict.score.baseline
    assert verdict.scores["log_loss"] > verdict.baseline_scores["log_loss"]
    assert verdict.score.caution.startswith("The log_loss is no better than the baseline's")


@pytest.mark.parametrize("n_classes", [0, 2])
def test_a_difference_that_chance_explains_is_described_as_such(rng, n_classes):
    """Few rows and a small gain: the summary says that it is not clearly better."""
    y = np.tile([0, 1], 20) if n_classes else rng.normal(size=40)
    others = np.tile([0.5, 0.5], (40, 1)) if n_classes else np.zeros(40)
    near = probabilities(0.5 + 0.01 * rng.normal(size=40)) if n_classes else others + 1e-3
    name = "log_loss" if n_classes else "rmse"
    doubt = describe_doubt(name, near, others, y, np.ones(40))

    assert "chance may explain" in doubt or "no better" in doubt


def test_weighted_classes_are_not_judged_by_log_loss(rng):
    """Class weights change probabilities on purpose, so a worse log_loss is no cause for doubt."""
    y = (rng.random(300) < 0.1).astype(np.int64)
    p = probabilities(np.where(y == 1, 0.8, 0.45))
    others = np.tile([0.9, 0.1], (300, 1))
    weighted = rows_of(y, np.where(y == 1, 9.0, 1.0), np.ones(300))
    baseline = Baseline((0.9, 0.1))
    cautions = [
        judge(p, rows, baseline, ("a", "b"), "balanced_accuracy").score.caution
        for rows in (weighted, rows_of(y))
    ]

    assert cautions[0] == ""
    assert "log_loss" in cautions[1]
    assert "log_loss" in describe_doubt("auc", p, others, y, np.ones(300))


def test_one_row_is_too_few_to_say():
    """Of one row, nothing is said."""
    assert describe_doubt("rmse", *[np.ones(1)] * 4) == ""
