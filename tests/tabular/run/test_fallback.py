"""What a fit with too little time ends in: never a network that is worse than the baseline."""

import time
import warnings

import numpy as np
import pytest

from afina import AfinaClassifier, AfinaRegressor, load
from afina.config import apply_settings
from afina.errors import AfinaWarning
from afina.table import Features
from afina.tabular import fit_table
from afina.tabular.preparation.rows import Rows
from afina.tabular.run.fallback import _is_better
from afina.tabular.scoring import learn_baseline
from afina.train import StopEvent


@pytest.mark.usefixtures("reports")
@pytest.mark.parametrize(("target", "score"), [("kind", "log_loss"), ("price", "rmse")])
def test_no_time_at_all_ends_in_the_baseline(tables, request, tmp_path, target, score):
    """If the limit is over before training, the model is the baseline, and everything says so."""
    table = request.getfixturevalue(f"{target}s_csv")
    config = apply_settings(tables.config(), ["stop.time_limit=0.5"])
    started = time.monotonic() - 9
    outcome = fit_table(table, target=target, config=config, out=tmp_path / "run", started=started)
    summary, page = outcome.summary, (tmp_path / "run" / "report.html").read_text()

    assert (summary["model"], summary["stop"]["step"]) == ("constant", 0)
    assert (
        "ran out before training began, so the model is the baseline"
        in (summary["score"]["caution"])
    )
    assert summary["scores"][score] == pytest.approx(summary["baseline_scores"][score], rel=1e-6)
    assert summary["seconds"] >= 9
    assert "ran out before training began" in page
    assert "The model is the baseline, not a network." in page
    evaluation = load(tmp_path / "run").evaluate_table(table)
    assert evaluation["scores"][score] == pytest.approx(
        evaluation["baseline_scores"][score], rel=1e-6
    )


def test_enough_time_keeps_the_network(tables, kinds_csv, tmp_path):
    """Enough time gives a network, and no remark."""
    config = apply_settings(tables.config(), ["stop.time_limit=600", "train.max_epochs=30"])
    summary = fit_table(kinds_csv, target="kind", config=config, out=tmp_path / "run").summary

    assert summary["model"] == "network"
    assert "time limit" not in summary["score"]["caution"]


@pytest.mark.parametrize("kind", [AfinaClassifier, AfinaRegressor])
def test_estimators_say_it_in_a_warning_and_a_note(kind, rng):
    """In Python too, too little time gives the baseline, a warning and a note."""
    x = rng.normal(size=(120, 2))
    y = (x[:, 0] > 0.5).astype(int)
    with pytest.warns(AfinaWarning, match="so the model is the baseline"):
        model = kind(time_limit=1e-6).fit(x, y)
    predictions = model.predict_proba(x)[:, 1] if kind is AfinaClassifier else model.predict(x)

    assert predictions == pytest.approx(np.full(120, y.mean()), rel=1e-5)
    assert "so the model is the baseline" in model.notes_[-1]


@pytest.mark.parametrize("kind", [AfinaClassifier, AfinaRegressor])
def test_a_limit_that_is_not_reached_changes_nothing(kind, rng):
    """With time enough, the model is that without a limit, bit for bit."""
    x = rng.normal(size=(200, 2))
    y = (x[:, 0] > 0).astype(int)
    quick = {"d_block": 16, "members": 2, "max_epochs": 3}
    models = [kind(time_limit=limit, **quick).fit(x, y) for limit in (None, 600)]
    one, other = (model.predictor_.predict_features(*features(x)) for model in models)

    assert np.array_equal(one, other)


def features(x):
    codes = np.empty((len(x), 0), dtype=np.int64)
    return Features(x, codes, np.empty((len(x), 0))), "x"


def test_noise_under_a_limit_is_predicted_by_the_baseline(rng):
    """A network that has learned from noise is not shipped, if time is limited."""
    x, y = rng.normal(size=(200, 3)), rng.normal(size=200)
    quick = {"d_block": 16, "members": 2, "max_epochs": 3}
    with pytest.warns(AfinaWarning, match="not clearly better than the baseline"):
        model = AfinaRegressor(time_limit=600, **quick).fit(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = AfinaRegressor(**quick).fit(x, y)

    assert np.ptp(model.predict(x)) == 0
    assert np.ptp(plain.predict(x)) > 0


def stopped(epoch: int) -> StopEvent:
    return StopEvent(7, epoch, "observer", "time", "val/loss", None, None, None)


def test_a_network_that_has_not_seen_all_rows_must_be_clearly_better(tables):
    """The gain must exceed one standard error, and two before the first epoch is complete."""
    y = np.tile([-1.0, 1.0], 50)
    none = np.empty((100, 0))
    rows = Rows(none, none.astype(np.int64), none, y, np.ones(100))
    baseline, config = learn_baseline(rows, 0), tables.config()
    verdicts = []
    for n_right in (50, 58, 65):  # 0, 1.6 and 3.1 standard errors better than chance
        sign = np.where(np.arange(100) < n_right, y, -y)
        verdicts += [
            _is_better(0.001 * sign, rows, baseline, config, stopped(epoch)) for epoch in (0, 1)
        ]

    assert verdicts == [False, False, False, True, True, True]


def test_the_requested_metric_can_keep_a_network(tables, rng):
    """Probabilities that rank well but are no good as such stay, if auc was requested."""
    y = rng.integers(0, 2, 100)
    none = np.empty((100, 0))
    rows = Rows(none, none.astype(np.int64), none, y, np.ones(100))
    p = np.where(y == 1, 1e-3, 1e-5)
    predictions, baseline = np.column_stack([1 - p, p]), learn_baseline(rows, 2)
    by_auc = apply_settings(tables.config(), ["stop.metric=auc"])

    assert _is_better(predictions, rows, baseline, by_auc, stopped(1))
    assert not _is_better(predictions, rows, baseline, by_auc, stopped(0))
    assert not _is_better(predictions, rows, baseline, tables.config(), stopped(1))
