"""Saving and loading what an estimator has fitted, and predicting one row."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.exceptions import NotFittedError

import afina
from afina.cli import run_command_line
from afina.errors import StorageError, TableError

QUICK = {"d_block": 8, "members": 2, "folds": 2, "max_epochs": 2, "threads": 1}
N_ROWS = 90
KINDS = [afina.AfinaClassifier, afina.AfinaRegressor]


def mixed() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": np.where(rng.random(N_ROWS) < 0.1, np.nan, rng.normal(size=N_ROWS)),
            "color": pd.Categorical(rng.choice(["red", "green"], N_ROWS)),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 99, N_ROWS), "D"),
            "on": rng.random(N_ROWS) < 0.5,
            "code": rng.integers(0, 5, N_ROWS),
        }
    )


FRAME = mixed()
LABELS = {
    "text": np.where(FRAME["on"], "yes", "no"),
    "numbers": np.where(FRAME["on"], 7, -2),
    "booleans": FRAME["on"].to_numpy(),
    "digits": np.where(FRAME["on"], "10", "9"),
}


@pytest.mark.parametrize("name", LABELS)
def test_a_saved_classifier_is_loaded(name, tmp_path):
    """What `afina.load` reads predicts the same labels and probabilities, by the classes' names."""
    model = afina.AfinaClassifier(**QUICK).fit(FRAME, LABELS[name])
    model.save(tmp_path / "new" / "model")
    loaded = afina.load(str(tmp_path / "new" / "model"))
    order = [list(loaded.classes).index(label) for label in model.classes_.tolist()]

    np.testing.assert_array_equal(loaded.predict(FRAME), model.predict(FRAME))
    np.testing.assert_array_equal(loaded.predict_proba(FRAME)[:, order], model.predict_proba(FRAME))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model"]


def test_a_saved_regressor_is_loaded(tmp_path):
    """Numbers come back bit for bit; a model that was pickled or loaded is saved alike."""
    model = afina.AfinaRegressor(**QUICK).fit(FRAME, FRAME["code"] * 1.5)
    model.save(tmp_path / "a")
    pickle.loads(pickle.dumps(model)).save(tmp_path / "b")  # noqa: S301 - the test's own
    afina.load(tmp_path / "a").save(tmp_path / "c")
    expected = model.predict(FRAME)

    for name in "abc":
        np.testing.assert_array_equal(afina.load(tmp_path / name).predict(FRAME), expected)
        for file in ("model.safetensors", "model.json", "schema.json", "config.toml"):
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "a" / file).read_bytes()


def test_a_saved_model_is_the_model_of_its_run(tmp_path):
    """`save` writes the bytes that a run folder has in `model`."""
    model = afina.AfinaClassifier(**QUICK, run_dir=tmp_path / "run").fit(FRAME, LABELS["text"])
    model.save(tmp_path / "saved")

    for path in (tmp_path / "saved").iterdir():
        assert path.read_bytes() == (model.run_dir_ / "model" / path.name).read_bytes()


def test_the_command_line_reads_a_saved_model(tmp_path, capsys):
    """`afina predict` and `evaluate` take a folder that an estimator has saved."""
    model = afina.AfinaClassifier(**QUICK).fit(FRAME, LABELS["text"])
    model.save(tmp_path / "model")
    table, out = tmp_path / "table.parquet", tmp_path / "out.parquet"
    FRAME.assign(y=LABELS["text"]).to_parquet(table, index=False)

    assert (
        run_command_line(["predict", str(tmp_path / "model"), str(table), "--out", str(out)]) == 0
    )
    assert pd.read_parquet(out)["prediction"].tolist() == model.predict(FRAME).tolist()
    assert run_command_line(["evaluate", str(tmp_path / "model"), str(table)]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_saving_where_something_is(tmp_path):
    """An empty folder is used, a saved model replaced if asked for, anything else refused."""
    x = FRAME[["size", "code"]]
    model = afina.AfinaRegressor(**QUICK).fit(x, FRAME["code"] * 1.5)
    path = tmp_path / "model"
    path.mkdir()
    model.save(path)
    with pytest.raises(StorageError, match=r"holds a model\. .*or pass overwrite=True"):
        model.save(path)
    model.set_params(random_state=1).fit(x, FRAME["code"] * 2.5).save(path, overwrite=True)

    np.testing.assert_array_equal(afina.load(path).predict(x), model.predict(x))
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
    (tmp_path / "file").write_text("precious")
    for taken in (tmp_path, tmp_path / "file"):
        for overwrite in (False, True):
            with pytest.raises(StorageError, match=r"is not a saved model. Choose another path"):
                model.save(taken, overwrite=overwrite)
    with pytest.raises(StorageError):
        model.save(tmp_path / "file" / "model")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_run_is_not_overwritten(tmp_path):
    """A run folder is more than a model."""
    model = afina.AfinaRegressor(**QUICK, run_dir=tmp_path / "run").fit(FRAME, FRAME["code"] * 1.5)
    with pytest.raises(StorageError, match="is not a saved model"):
        model.save(tmp_path / "run", overwrite=True)

    assert (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_fitted_is_not_saved(kind, tmp_path):
    """Before a fit there is nothing to save, and no row to predict."""
    with pytest.raises(NotFittedError):
        kind().save(tmp_path / "model")
    with pytest.raises(NotFittedError):
        kind().predict_row({"a": 1})

    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", LABELS)
def test_one_row_is_predicted_as_in_a_frame(name):
    """A row as a dict, a series or a frame is what `predict` gives, as a plain Python value."""
    model = afina.AfinaClassifier(**QUICK).fit(FRAME, LABELS[name])
    polars = pl.from_pandas(FRAME)
    for at in range(0, N_ROWS, 9):
        frame = FRAME.iloc[[at]]
        label = model.predict(frame)[0]
        rows = [FRAME.iloc[at].to_dict(), FRAME.iloc[at], frame, polars.row(at, named=True)]
        for row in (*rows, next(frame.itertuples(index=False))):
            np.testing.assert_array_equal(
                model.predict_proba_row(row), model.predict_proba(frame)[0]
            )
            assert model.predict_row(row) == label
            assert type(model.predict_row(row)) is type(label.item())


def test_one_row_of_numbers():
    """Regressors and arrays too; the columns of an array are x0, x1 and so on."""
    x = FRAME[["size", "code"]].to_numpy()
    model = afina.AfinaRegressor(**QUICK).fit(x, x[:, 1])
    number = model.predict_row({"x0": 0.5, "x1": 3})

    assert type(number) is float
    assert number == model.predict([[0.5, 3.0]])[0]
    numbered = afina.AfinaRegressor(**QUICK).fit(pd.DataFrame(x), x[:, 1])
    assert numbered.predict_row(pd.DataFrame(x).iloc[3]) == numbered.predict(x[3:4])[0]


@pytest.mark.parametrize("row", [[1, 2], (1, 2), np.zeros(2), "a", FRAME])
def test_what_is_no_row_is_refused(row):
    """Cells without names, and tables, are refused with the names that are needed."""
    model = afina.AfinaRegressor(**QUICK).fit(FRAME, FRAME["code"] * 1.5)
    with pytest.raises(TableError, match=r"a row must be a mapping.*'size', 'color'.*use predict"):
        model.predict_row(row)


@pytest.mark.parametrize("kind", KINDS)
def test_reprs_are_short_and_have_no_addresses(kind, tmp_path):
    """What a notebook shows of a model, its predictor and its schema is a line."""
    model = kind(**QUICK).fit(FRAME, FRAME["code"])
    model.save(tmp_path / "model")
    loaded = afina.load(tmp_path / "model")

    for value in (model, model.predictor_, model.schema_, loaded):
        assert " at 0x" not in repr(value)
        assert len(repr(value)) < 120
    assert repr(loaded) == repr(model.predictor_)
    n_classes = ", n_classes=5" if kind is afina.AfinaClassifier else ""
    task = "multiclass" if n_classes else "regression"
    assert repr(loaded) == f"Predictor(target='y', task='{task}', n_columns=5{n_classes})"
    assert repr(model.schema_) == (
        "Schema(5 columns: 2 numeric, 1 categorical, 1 datetime, 1 boolean)"
    )
