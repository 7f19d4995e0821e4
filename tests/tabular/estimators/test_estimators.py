import inspect
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import afina
from afina import AfinaClassifier, AfinaRegressor
from afina.config import Config
from afina.declaration import declarations
from afina.errors import ConfigError, NonFiniteError
from afina.tabular.estimators import fit_rows
from afina.tabular.estimators.arguments import SECTIONS, make_settings
from afina.tabular.run import train_run

QUICK = {"d_block": 16, "n_blocks": 1, "max_epochs": 5, "lr": 0.01}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([AfinaClassifier(), AfinaRegressor()])
def test_scikit_learns_contract(estimator, check):
    """Every check of scikit-learn passes; none is expected to fail."""
    check(estimator)


@pytest.mark.parametrize("kind", [AfinaClassifier, AfinaRegressor])
def test_the_settings_are_those_of_the_configuration(kind):
    """Each setting of four sections is an argument of the same name and default, and no other."""
    wanted = {
        "kinds": None,
        "class_weight": None,
        "folds": Config().table.folds,
        "val_frac": None,
        "run_dir": None,
    }
    for section in SECTIONS:
        for name, declared in declarations(type(getattr(Config(), section))).items():
            if declared.setting.scope != "trainer":
                wanted[name] = declared.default
    wanted["random_state"] = wanted.pop("seed")
    wanted["encodings"] = None
    found = {
        name: parameter.default
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }

    assert found == wanted
    assert len(found) == len(inspect.signature(kind).parameters)


@pytest.mark.parametrize("kind", [AfinaClassifier, AfinaRegressor])
def test_every_argument_becomes_a_setting(kind):
    """No argument is dropped on the way to the settings."""
    params = kind().get_params()
    changed = {"lr": 0.5, "n_blocks": 7, "patience": None, "min_count": 9, "monitor": "val/r2"}
    config = make_settings({**params, **changed, "random_state": 11, "encodings": {"a": "onehot"}})

    assert (config.train.lr, config.model.n_blocks, config.stop.patience) == (0.5, 7, None)
    assert (config.preprocess.min_count, config.stop.monitor) == (9, "val/r2")
    assert (config.train.seed, config.preprocess.encodings) == (11, {"a": "onehot"})
    assert make_settings(params) == Config()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"lr": -1.0}, "lr"),
        ({"norm": "batchnorm"}, "norm"),
        ({"patience": 0}, "patience"),
        ({"batch_size": 8, "microbatch_size": 16}, "microbatch_size"),
        ({"val_frac": 1.0}, "val_frac"),
        ({"monitor": "val/rmse"}, "monitor"),
        ({"kinds": {"x9": "numeric"}}, "x9"),
    ],
)
def test_a_wrong_setting_is_named(wrong, words):
    """A setting that cannot be is named by a ValueError in fit, not before."""
    x, y = load_iris(return_X_y=True)
    model = AfinaClassifier(**wrong)
    with pytest.raises(ValueError, match=words):
        model.fit(x, y)

    assert not hasattr(model, "classes_")


def test_it_learns_bundled_tables():
    """The defaults beat what is easy on scikit-learn's bundled tables."""
    x, y = load_breast_cancer(return_X_y=True)
    found = cross_val_score(AfinaClassifier(), x, y, cv=KFold(2, shuffle=True, random_state=0))
    assert found.mean() > 0.94
    x, y = load_diabetes(return_X_y=True)
    found = cross_val_score(AfinaRegressor(), x, y, cv=KFold(2, shuffle=True, random_state=0))
    assert found.mean() > 0.35


def test_labels_keep_their_type():
    """Labels of text, whole numbers, booleans and objects come back as they were."""
    x, y = load_iris(return_X_y=True)
    for labels in (
        np.array(["a", "bb", "c"]),
        np.array([5, -7, 2**60 + 1]),
        np.array(["x", "y", "z"], dtype=object),
    ):
        model = AfinaClassifier(**QUICK).fit(x, labels[y])
        assert model.predict(x).dtype == labels.dtype
        assert set(model.predict(x)) <= set(labels)
        assert model.classes_.tolist() == sorted(labels.tolist())


def mixed_frame(n_rows: int = 90, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": np.where(rng.random(n_rows) < 0.1, np.nan, rng.normal(size=n_rows)),
            "color": pd.Categorical(rng.choice(["red", "green", "blue"], n_rows)),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 99, n_rows), "D"),
            "on": rng.random(n_rows) < 0.5,
            "note": rng.choice(["a", "b", "01"], n_rows),
        }
    )
    y = np.where((frame["color"] == "red") ^ frame["on"], "yes", "no")
    return frame, y


def test_frames_of_every_maker_give_one_model():
    """pandas, polars and pyarrow frames of equal content give equal probabilities."""
    frame, y = mixed_frame()
    found = []
    for data in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame, preserve_index=False)):
        model = AfinaClassifier(**QUICK).fit(data, y)
        found.append(model.predict_proba(data))
        assert model.feature_names_in_.tolist() == list(frame.columns)
        kinds = [column.kind for column in model.schema_.columns]
        assert kinds == ["numeric", "categorical", "datetime", "boolean", "categorical"]

    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_kinds_can_be_named():
    """The columns of an array are numbers unless a kind is named."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, (80, 2))
    y = np.where(x[:, 1] % 2 == 1, "odd", "even")
    plain = AfinaClassifier(**QUICK).fit(x, y)
    named = AfinaClassifier(**{**QUICK, "max_epochs": 40}, kinds={"x1": "categorical"}).fit(x, y)

    assert [column.kind for column in plain.schema_.columns] == ["numeric", "numeric"]
    assert [column.kind for column in named.schema_.columns] == ["numeric", "categorical"]
    assert named.score(x, y) == 1.0


@pytest.mark.parametrize(
    "column",
    [
        np.arange(60),
        np.arange(60.0),
        np.zeros(60),
        np.full(60, np.nan),
        np.ones(60, dtype=bool),
        np.arange(60, dtype=np.uint64) + np.uint64(2**63),
        np.full(60, 1e300),
        np.arange(60) + 2**62,
        np.linspace(1, 2, 60).astype(np.float16),
    ],
)
def test_any_column_of_numbers_is_taken(column):
    """Row numbers, constants, gaps and huge numbers in an array are no error."""
    y = np.arange(60) % 2
    model = AfinaClassifier(**QUICK).fit(column[:, None], y)

    assert np.isfinite(model.predict_proba(column[:, None])).all()
    x = np.column_stack([column.astype(np.float64), y])
    assert AfinaRegressor(**QUICK).fit(x, 3.0 * y).predict(x).shape == (60,)


def test_classes_are_sorted_as_scikit_learn_does():
    """Labels of text that are numbers are sorted as text, whatever order the model has them in."""
    x = np.linspace(-1, 1, 60)[:, None]
    y = np.where(x[:, 0] > 0, "10", "9")
    model = AfinaClassifier(**{**QUICK, "max_epochs": 30}).fit(x, y)
    proba = model.predict_proba(x)

    assert model.classes_.tolist() == ["10", "9"]
    assert model.predictor_.classes == ("9", "10")
    assert np.array_equal(model.predict(x), model.classes_[proba.argmax(axis=1)])
    assert np.array_equal(proba, model.predictor_.predict_proba(x)[:, ::-1])
    assert model.score(x, y) > 0.9


@pytest.mark.parametrize("name", ["sample_weight", "groups"])
def test_one_value_a_row_is_needed(name):
    """Weights and groups of another length than X are refused by name."""
    with pytest.raises(ValueError, match=rf"{name} must have one value for each row"):
        AfinaRegressor(**QUICK).fit(np.zeros((5, 1)), np.arange(5.0), **{name: np.ones(4)})


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinite_values_are_refused(bad):
    """An infinite feature or target is a ValueError, in arrays and frames."""
    x, y = load_diabetes(return_X_y=True)
    x = x.copy()
    x[3, 2] = bad
    with pytest.raises(ValueError, match="infinity"):
        AfinaRegressor(**QUICK).fit(x, y)
    with pytest.raises(ValueError, match="finite"):
        AfinaRegressor(**QUICK).fit(pd.DataFrame(x), y)
    model = AfinaRegressor(**QUICK).fit(np.nan_to_num(x, posinf=0, neginf=0), y)
    with pytest.raises(ValueError, match="infinity"):
        model.predict(x)
    with pytest.raises(ValueError, match=r"y contains infinity|finite"):
        AfinaRegressor(**QUICK).fit(np.zeros((3, 1)), [1.0, bad, 2.0])


def test_missing_numbers_are_taken():
    """NaN in an array is a missing number."""
    x, y = load_diabetes(return_X_y=True)
    x = np.where(np.random.default_rng(0).random(x.shape) < 0.2, np.nan, x)

    assert np.isfinite(AfinaRegressor(**QUICK).fit(x, y).predict(x)).all()


@pytest.mark.parametrize("kind", [AfinaClassifier, AfinaRegressor])
def test_a_weight_of_two_is_the_row_twice(kind, rng):
    """Whole weights are repetition, to the last bit, also where rows are held out."""
    x = rng.normal(size=(90, 3)).round(1)
    y = (x[:, 0] > 0).astype(int)
    weights = rng.integers(0, 4, 90)
    order = np.repeat(np.arange(90), weights)
    one = kind(**QUICK).fit(x, y, sample_weight=weights)
    two = kind(**QUICK).fit(x[order], y[order])

    assert np.array_equal(one.predict(x), two.predict(x))
    assert one.history_ == two.history_


def test_a_constant_weight_changes_nothing(rng):
    """Weights of 0.1 each are no weights."""
    x = rng.normal(size=(60, 3))
    one = AfinaRegressor(**QUICK).fit(x, x[:, 0], sample_weight=np.full(60, 0.1))
    two = AfinaRegressor(**QUICK).fit(x, x[:, 0])

    assert np.array_equal(one.predict(x), two.predict(x))


def test_validation_rows_of_ones_own(rng):
    """With X_val all rows of X train, and the history is of X_val."""
    x = rng.normal(size=(100, 3))
    y = x[:, 0] * 2
    model = AfinaRegressor(**QUICK).fit(x[:60], y[:60], X_val=x[60:], y_val=y[60:])

    assert model.predictor_.facts.n_train == 60
    assert model.predictor_.facts.n_val == 40
    error = np.sqrt(np.mean((model.predict(x[60:]) - y[60:]) ** 2))
    best = model.history_[model.stop_.best_epoch - 1]
    assert best["val/rmse"] == pytest.approx(error, rel=1e-5)
    with pytest.raises(ValueError, match="passed together"):
        model.fit(x, y, X_val=x)


def test_groups_stay_on_one_side(rng, monkeypatch):
    """Rows of one group are not split; and the estimator works inside a grouped split."""
    seen = []
    plan = train_run.make_plan

    def keep(train, val, **others):
        seen.append((train, val))
        return plan(train, val, **others)

    monkeypatch.setattr(train_run, "make_plan", keep)
    groups = np.repeat(np.arange(20), 6)
    x = np.column_stack([rng.normal(size=120), groups])
    AfinaRegressor(**QUICK, folds=1).fit(x, x[:, 0], groups=groups)
    train, val = seen[0]

    assert not set(train.x_num[:, 1]) & set(val.x_num[:, 1])
    assert len(val) == 24
    scores = cross_val_score(AfinaRegressor(**QUICK), x, x[:, 0], groups=groups, cv=GroupKFold(3))
    assert scores.shape == (3,)


def test_it_works_where_estimators_work():
    """Pipeline, cross_val_score, GridSearchCV, clone and pickle."""
    x, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), AfinaClassifier(**QUICK))
    search = GridSearchCV(
        AfinaClassifier(**QUICK), {"d_block": [8, 16], "lr": np.array([0.01, 0.02])}, cv=2
    )

    assert cross_val_score(pipeline, x, y, cv=3).min() > 0.5
    assert search.fit(x, y).best_score_ > 0.5
    model = AfinaClassifier(**QUICK).fit(x, y)
    assert clone(model).get_params() == model.get_params()
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 - the user's own
    assert np.array_equal(again.predict_proba(x), model.predict_proba(x))


def test_a_failing_fit_leaves_the_estimator_as_it_was(monkeypatch):
    """After a fit that fails, the estimator predicts as before it."""
    x, y = load_iris(return_X_y=True)
    model = AfinaClassifier(**QUICK).fit(x, y)
    before, state = model.predict_proba(x), dict(vars(model))
    frame = pd.DataFrame(x[:, :2], columns=["a", "b"])
    with pytest.raises(ValueError, match="class"):
        model.fit(frame, np.zeros(150))

    def fail(*args, **others):
        raise NonFiniteError("The loss must be finite, however: it is not.")

    monkeypatch.setattr(fit_rows, "train_model", fail)
    with pytest.raises(NonFiniteError):
        model.fit(frame, y)

    assert vars(model) == state
    assert np.array_equal(model.predict_proba(x), before)


def test_random_states(rng):
    """A number repeats the fit; a generator and None draw a seed from it or from chance."""
    x = rng.normal(size=(50, 2))
    predictions = {}
    for name, state in {
        "0": 0,
        "again": 0,
        "1": 1,
        "generator": np.random.RandomState(3),
        "same": np.random.RandomState(3),
        "none": None,
    }.items():
        predictions[name] = AfinaRegressor(**QUICK, random_state=state).fit(x, x[:, 0]).predict(x)

    assert np.array_equal(predictions["0"], predictions["again"])
    assert np.array_equal(predictions["generator"], predictions["same"])
    assert not np.array_equal(predictions["0"], predictions["1"])
    with pytest.raises(ConfigError, match="seed"):
        AfinaRegressor(random_state=-1).fit(x, x[:, 0])


def test_a_run_folder_of_an_estimator(tmp_path, reports):
    """With run_dir the fit leaves a run folder, whose model predicts as the estimator does."""
    frame, y = mixed_frame()
    run = tmp_path / "run"
    model = AfinaClassifier(**QUICK, run_dir=run).fit(frame, y)
    loaded = afina.load(run)

    assert np.array_equal(loaded.predict_proba(frame), model.predict_proba(frame))
    assert loaded.predict(frame).tolist() == model.predict(frame).tolist()
    assert (run / "report.html").exists()
    with pytest.raises(OSError, match="new or empty folder"):
        AfinaClassifier(**QUICK, run_dir=run).fit(frame, y)


def test_what_was_seen_of_each_epoch_is_kept(rng):
    """history_ has a record an epoch; n_iter_ counts them."""
    x = rng.normal(size=(60, 2))
    model = AfinaRegressor(**QUICK).fit(x, x[:, 0])

    assert [record["epoch"] for record in model.history_] == list(range(1, model.n_iter_ + 1))
    assert all({"train/loss", "val/loss", "val/rmse"} <= set(record) for record in model.history_)


def test_global_random_numbers_are_left_alone(rng):
    """A fit leaves the random numbers of numpy and torch, and the threads, as they were."""
    import torch

    x = rng.normal(size=(60, 2))
    np.random.seed(5)
    torch.manual_seed(5)
    before = (np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes())
    threads = torch.get_num_threads()
    AfinaRegressor(**QUICK, threads=threads + 1).fit(x, x[:, 0])

    assert before == (np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes())
    assert torch.get_num_threads() == threads
