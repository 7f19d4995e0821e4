import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import afina
from afina.errors import SchemaError

QUICK = {"d_block": 8, "members": 2, "folds": 2, "max_epochs": 1}
N_ROWS, GONE = 60, 3
X = np.random.default_rng(0).normal(size=(N_ROWS, 2))
CODES = (X.sum(axis=1) > 0).astype(int)
TEXTS = ["yes" if code else "no" for code in CODES]


def without(values, missing):
    """Return a list with one value replaced."""
    return [missing if row == GONE else value for row, value in enumerate(values)]


NOTE = "X: 1 row is left out, because the target is missing"
LABELS = {
    "None among texts": without(TEXTS, None),
    "NaN among texts": without(TEXTS, float("nan")),
    "NA among texts": without(TEXTS, pd.NA),
    "objects": np.array(without(TEXTS, None), dtype=object),
    "pandas text": pd.Series(without(TEXTS, None)),
    "pandas categories": pd.Series(pd.Categorical(without(TEXTS, None))),
    "polars": pl.Series(without(TEXTS, None)),
    "polars categories": pl.Series(without(TEXTS, None)).cast(pl.Categorical),
    "Arrow": pa.array(without(TEXTS, None)),
    "masked": np.ma.array(TEXTS, mask=np.arange(N_ROWS) == GONE),
    "column": pd.DataFrame({"t": without(TEXTS, None)}),
}
CODED = {
    "None among numbers": without(CODES.tolist(), None),
    "NaN": np.array(without(CODES, np.nan)),
    "Int64": pd.Series(without(CODES, pd.NA), dtype="Int64"),
    "boolean": pd.Series(without(CODES == 1, pd.NA), dtype="boolean"),
    "masked": np.ma.array(CODES, mask=np.arange(N_ROWS) == GONE),
}


@pytest.mark.filterwarnings("ignore:A column-vector")
@pytest.mark.parametrize("name", LABELS)
def test_a_row_without_a_label_is_left_out(name):
    """A missing label is left out with a note, however it is written: the rest is as without it."""
    model = afina.AfinaClassifier(**QUICK).fit(X, LABELS[name])
    rest = np.delete(np.array(TEXTS, dtype=object), GONE)
    alone = afina.AfinaClassifier(**QUICK).fit(np.delete(X, GONE, axis=0), rest)

    assert model.classes_.tolist() == ["no", "yes"]
    assert NOTE in model.notes_
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize("name", CODED)
def test_a_row_without_a_code_is_left_out(name):
    """A missing code or boolean is left out; the labels are numbers or booleans still."""
    model = afina.AfinaClassifier(**QUICK).fit(X, CODED[name])

    assert model.classes_.tolist() == [0, 1]
    assert model.classes_.dtype.kind in "bif"
    assert NOTE in model.notes_


@pytest.mark.parametrize(
    "y",
    [
        without(X[:, 0], None),
        np.array(without(X[:, 0], np.nan)),
        pd.Series(without(X[:, 0], pd.NA), dtype="Float64"),
        np.ma.array(X[:, 0], mask=np.arange(N_ROWS) == GONE),
        pl.Series(without(X[:, 0].tolist(), None)),
    ],
)
def test_a_row_without_a_number_is_left_out(y):
    """A missing target of a regression is left out with a note."""
    model = afina.AfinaRegressor(**QUICK).fit(X, y)
    alone = afina.AfinaRegressor(**QUICK).fit(np.delete(X, GONE, 0), np.delete(X[:, 0], GONE))

    assert NOTE in model.notes_
    np.testing.assert_array_equal(model.predict(X), alone.predict(X))


def test_validation_rows_without_a_target_are_left_out():
    """A missing target among the validation rows is left out with a note too."""
    model = afina.AfinaClassifier(**{**QUICK, "folds": 1})
    model.fit(X, TEXTS, X_val=X, y_val=without(TEXTS, None))

    assert "X_val: 1 row is left out, because the target is missing" in model.notes_


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
@pytest.mark.parametrize("kind", [afina.AfinaClassifier, afina.AfinaRegressor])
def test_no_target_at_all_is_refused(kind, missing):
    """A target without a value is refused as the command refuses it."""
    with pytest.raises(SchemaError, match="every cell is missing"):
        kind(**QUICK).fit(X, [missing] * N_ROWS)


@pytest.mark.parametrize("kind", [afina.AfinaClassifier, afina.AfinaRegressor])
def test_an_infinite_target_is_refused(kind):
    """Infinity is no missing value, also beside one."""
    y = X[:, 0].copy()
    y[:2] = np.nan, np.inf
    with pytest.raises(ValueError, match="infinity"):
        kind(**QUICK).fit(X, y)
