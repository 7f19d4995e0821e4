import numpy as np
import pytest

from afina.errors import ConfigError
from afina.metrics import (
    HIGHER_IS_BETTER,
    classification_scores,
    regression_scores,
)
from afina.tabular import scoring
from afina.tabular.preparation.rows import Rows
from afina.tabular.scoring import Baseline, check_monitor, judge, learn_baseline, score


def rows_of(y: np.ndarray, weights: np.ndarray | None = None) -> Rows:
    n = len(y)
    none = np.empty((n, 0))
    return Rows(none, none.astype(np.int64), none, y, np.ones(n) if weights is None else weights)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_baseline_predicts_shares_or_the_mean(rng, weighted):
    """The baseline predicts the training rows' class shares or mean, by weight."""
    for n_classes in (0, 3):
        y_train = rng.integers(0, 3, 50) if n_classes else rng.normal(size=50)
        y = rng.integers(0, 3, 20) if n_classes else rng.normal(size=20)
        weights = rng.random(50) if weighted else np.ones(50)
        found = learn_baseline(rows_of(y_train, weights), n_classes)
        if n_classes:
            shares = [weights[y_train == code].sum() / weights.sum() for code in range(3)]
            expected = classification_scores(y, np.tile(shares, (20, 1)))
        else:
            expected = regression_scores(y, np.full(20, np.average(y_train, weights=weights)))

        assert score(found.predict(20), y, None) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_every_score_can_be_monitored():
    """Each score's name is known for its task, with the direction that the metrics give it."""
    n = np.array([0, 1, 1])
    for n_classes, names in (
        (2, classification_scores(n, np.eye(2)[n])),
        (0, regression_scores(n, n)),
    ):
        for name in names:
            assert check_monitor(f"val/{name}", n_classes) == HIGHER_IS_BETTER[name]
            assert check_monitor(name, n_classes) == HIGHER_IS_BETTER[name]
        assert check_monitor("val/loss", n_classes) is None
    assert set(scoring._CLASS_SCORES) | set(scoring._NUMBER_SCORES) == set(HIGHER_IS_BETTER)


@pytest.mark.parametrize(("monitor", "n_classes"), [("val/rmse", 2), ("auc", 0), ("val/x", 3)])
def test_another_monitor_is_refused(monitor, n_classes):
    """A score of another task is refused, with those there are."""
    with pytest.raises(ConfigError, match="val/loss"):
        check_monitor(monitor, n_classes)


def test_a_judgement_stands_beside_the_baseline(rng):
    """Scores, baseline, confusion and headline of a classification fit together."""
    y = rng.integers(0, 3, 40)
    proba = rng.dirichlet(np.ones(3), 40)
    found = judge(proba, rows_of(y), Baseline((0.5, 0.3, 0.2)), ("a", "b", "c"))
    counts = np.array(found.confusion.counts)

    assert found.score.name == "accuracy"
    assert found.score.value == found.scores["accuracy"] == np.trace(counts) / 40
    assert found.score.baseline == np.mean(y == 0)
    assert found.score.baseline_is == "always 'a', the most common class"
    assert counts.sum(axis=1).tolist() == np.bincount(y, minlength=3).tolist()
    assert found.scatter is None


def test_a_judgement_of_numbers(rng):
    """Of many rows, evenly spaced ones are shown; a score that is not defined is NaN."""
    y = np.arange(5000.0)
    found = judge(y + 1, rows_of(y), Baseline(mean=7.0), ())
    constant = judge(np.ones(5), rows_of(np.full(5, 2.0)), Baseline(mean=2.0), ())

    assert found.scores["rmse"] == 1.0
    assert len(found.scatter.true) == 2000
    assert found.confusion is None
    assert np.isnan(constant.scores["r2"])
