"""Fits with `run_dir`: each has a folder of its own, and says which."""

import signal
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

import afina
from afina.errors import AfinaWarning, CheckpointError, Interrupted, NonFiniteError, StorageError
from afina.tabular import fit_table
from afina.tabular.estimators import fit_rows
from afina.tabular.run import train_run
from afina.train import StepEvent

QUICK = {"d_block": 8, "members": 2, "folds": 2, "max_epochs": 2, "threads": 1}
X = np.random.default_rng(0).normal(size=(90, 2))
Y = (X.sum(axis=1) > 0).astype(int)


def test_a_second_fit_has_a_folder_of_its_own(tmp_path):
    """The first fit writes `run_dir`, the next ones numbered folders in it; a note says so."""
    run = tmp_path / "run"
    model = afina.AfinaClassifier(**QUICK, run_dir=str(run))
    first = model.fit(X, Y).predict_proba(X)
    assert (model.run_dir_, model.notes_) == (run, ())
    second = model.fit(X, 1 - Y).predict_proba(X)

    assert model.run_dir_ == run / "0001"
    assert model.notes_ == (f"{run} is not empty, so this run is in {run / '0001'}",)
    np.testing.assert_array_equal(afina.load(run / "model").predict_proba(X), first)
    np.testing.assert_array_equal(afina.load(model.run_dir_).predict_proba(X), second)
    assert afina.AfinaClassifier(**QUICK).fit(X, Y).run_dir_ is None


def test_a_cross_validation_and_a_search(tmp_path):
    """Every fit of a cross-validation and of a search in two processes has a folder."""
    run = tmp_path / "runs"
    model = afina.AfinaRegressor(**QUICK, run_dir=run)
    scores = cross_val_score(model, X, X[:, 0], cv=3, error_score="raise")
    grid = {"lr": [0.01, 0.02]}
    search = GridSearchCV(model, grid, cv=2, n_jobs=2, error_score="raise").fit(X, X[:, 0])
    alone = cross_val_score(clone(model).set_params(run_dir=None), X, X[:, 0], cv=3)

    np.testing.assert_array_equal(scores, alone)
    assert search.best_estimator_.run_dir_ == run / "0007"
    numbers = sorted(path.name for path in run.iterdir() if path.name.isdigit())
    assert numbers == [f"{number:04d}" for number in range(1, 8)]
    for folder in (run, *(run / number for number in numbers)):
        assert (folder / "summary.json").exists()
    loaded = afina.load(search.best_estimator_.run_dir_)
    np.testing.assert_array_equal(loaded.predict(X), search.predict(X))


def test_fits_in_threads(tmp_path):
    """Fits at once in threads write folders of their own."""

    def fit(seed):
        model = afina.AfinaClassifier(**QUICK, run_dir=tmp_path / "run", random_state=seed)
        return model.fit(X, Y)

    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(fit, range(6)))

    assert len({model.run_dir_ for model in models}) == 6
    for model in models:
        predictor = afina.load(model.run_dir_ / "model")
        np.testing.assert_array_equal(predictor.predict_proba(X), model.predict_proba(X))


def test_loading_one_of_several_runs(tmp_path):
    """A folder of several runs gives the first one's model with a warning, or none is guessed."""
    run = tmp_path / "run"
    model = afina.AfinaClassifier(**QUICK, run_dir=run).fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        afina.load(run)
    model.fit(X, Y)
    with pytest.warns(AfinaWarning, match="several runs.*first. The last one is .*0001") as record:
        afina.load(run)
    assert record[0].filename == __file__
    (run / "model").rename(tmp_path / "model")
    with pytest.raises(CheckpointError, match=r"it holds 1\. Choose one of them, such as .*0001"):
        afina.load(run)


def test_other_files_in_the_folder_stay(tmp_path):
    """A folder with the user's own files gets a numbered run, and keeps the files."""
    (tmp_path / "thesis.txt").write_text("precious")
    model = afina.AfinaClassifier(**QUICK, run_dir=tmp_path).fit(X, Y)

    assert model.run_dir_ == tmp_path / "0001"
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    with pytest.raises(StorageError, match=r"is a file. Choose another run_dir"):
        model.set_params(run_dir=tmp_path / "thesis.txt").fit(X, Y)
    assert model.run_dir_ == tmp_path / "0001"


def test_a_fit_that_fails_removes_its_own_files_only(tmp_path, monkeypatch):
    """Where a fit fails, its folder is free again; a run inside it that succeeded stays."""
    run = tmp_path / "run"
    model = afina.AfinaClassifier(**QUICK, run_dir=run)
    other = clone(model)
    train = train_run.train_model

    def fail_after_another_fit(*args, **others):
        monkeypatch.setattr(train_run, "train_model", train)
        other.fit(X, Y)
        raise NonFiniteError("the loss must be finite", but="it is not", fix="Lower lr.")

    monkeypatch.setattr(train_run, "train_model", fail_after_another_fit)
    with pytest.raises(NonFiniteError):
        model.fit(X, Y)

    assert [path.name for path in run.iterdir()] == ["0001"]
    afina.load(other.run_dir_)
    monkeypatch.setattr(fit_rows, "run_files", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.set_params(run_dir=tmp_path / "new").fit(X, Y)
    assert not (tmp_path / "new").exists()


def test_an_interrupted_fit_is_not_said_to_resume(tmp_path, monkeypatch):
    """The advice after Ctrl-C is one that works: rows from Python cannot be read again."""
    model = afina.AfinaClassifier(**{**QUICK, "max_epochs": 50}, run_dir=tmp_path / "run")
    train = train_run.train_model

    def stop_once(event):
        if isinstance(event, StepEvent) and event.step == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(
        train_run,
        "train_model",
        lambda plan, *, listen, **others: train(plan, listen=stop_once, **others),
    )
    with pytest.raises(Interrupted, match="cannot be resumed: fit again") as record:
        model.fit(X, Y)

    assert "afina resume" not in str(record.value)
    assert not hasattr(model, "run_dir_")


def test_the_command_does_not_overwrite_other_runs(tables, kinds_csv, tmp_path):
    """With `overwrite` a run is replaced, but not the runs inside it."""
    run = tmp_path / "run"
    model = afina.AfinaClassifier(**QUICK, run_dir=run).fit(X, Y)
    model.fit(X, Y)
    with pytest.raises(StorageError, match=r"holds other runs, such as .*0001"):
        fit_table(kinds_csv, target="kind", config=tables.config(), out=run, overwrite=True)

    assert (run / "0001" / "model").exists()
