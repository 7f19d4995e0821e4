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
    "None among numbers": (without(CODES.tolist(), None), "i"),
    "NaN": (np.array(without(CODES, np.nan)), "f"),
    "Int64": (pd.Series(without(CODES, pd.NA), dtype="Int64"), "i"),
    "UInt8 in a frame": (pd.DataFrame({"t": without(CODES, pd.NA)}, dtype="UInt8"), "i"),
    "boolean": (pd.Series(without(CODES == 1, pd.NA), dtype="boolean"), "b"),
    "masked": (np.ma.array(CODES, mask=np.arange(N_ROWS) == GONE), "i"),
    "polars": (pl.Series(without(CODES.tolist(), None)), "i"),
    "polars booleans": (pl.Series(without((CODES == 1).tolist(), None)), "b"),
    "polars frame": (pl.DataFrame({"t": without(CODES.tolist(), None)}), "i"),
    "Arrow": (pa.array(without(CODES.tolist(), None)), "i"),
    "categories of whole numbers": (pd.Series(pd.Categorical(without(CODES, None))), "i"),
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


@pytest.mark.filterwarnings("ignore:A column-vector")
@pytest.mark.parametrize("name", CODED)
def test_a_row_without_a_code_is_left_out(name):
    """A missing code or boolean is left out; the labels keep their type, also beside missing ones."""
    y, kind = CODED[name]
    model = afina.AfinaClassifier(**QUICK).fit(X, y)

    assert model.classes_.tolist() == [0, 1]
    assert model.classes_.dtype.kind == kind
    assert model.predict(X).dtype.kind == kind
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


ODD = {
    "intervals": (pd.cut(X[:, 0], 3), "values of type Interval"),
    "intervals with a gap": (pd.cut(pd.Series(X[:, 0]), [-1, 0, 1]), "values of type Interval"),
    "periods": (
        pd.period_range("2020-01", periods=N_ROWS, freq="M"),
        "values of type Period",
    ),
    "dates": (pd.date_range("2020-01-01", periods=N_ROWS), "dates"),
    "bytes": (np.array([b"a", b"b"] * 30), "bytes"),
    "sets": (np.array([{1}, {2}] * 30, dtype=object), "values of type set"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", [afina.AfinaClassifier, afina.AfinaRegressor])
def test_targets_that_are_no_labels_are_refused_by_their_type(kind, name):
    """Intervals, periods, dates and bytes are named, with what to turn them into."""
    y, words = ODD[name]
    with pytest.raises(SchemaError, match=f"y must hold .*; got {words}. Turn them into"):
        kind(**QUICK).fit(X, y)


def test_the_remedy_for_intervals_works():
    """Intervals as text are labels."""
    bands = pd.cut(pd.Series(X[:, 0]), 3).astype(str)

    assert afina.AfinaClassifier(**QUICK).fit(X, bands).classes_.tolist() == sorted(set(bands))


def test_text_is_no_target_of_a_regression():
    """A regressor refuses text in its own words; numbers written as text are numbers."""
    with pytest.raises(SchemaError, match=r"y must hold numbers; got text.*AfinaClassifier"):
        afina.AfinaRegressor(**QUICK).fit(X, TEXTS)
    written = [str(value) for value in X[:, 0]]
    model = afina.AfinaRegressor(**QUICK).fit(X, written)
    expected = afina.AfinaRegressor(**QUICK).fit(X, X[:, 0])

    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


def test_labels_of_several_types_are_refused():
    """Numbers beside texts are refused by their types, and not as a regression target."""
    with pytest.raises(SchemaError, match="it holds several types: int, str"):
        afina.AfinaClassifier(**QUICK).fit(X, np.array([1, "a"] * 30, dtype=object))


@pytest.mark.parametrize("y", [{"t": CODES}, np.array([(0,), (1,)] * 30, dtype=[("t", int)])])
def test_targets_with_names_are_refused(y):
    """A mapping or a structured array as y gets a remedy that works."""
    with pytest.raises(SchemaError, match="y must be one column; got named columns"):
        afina.AfinaClassifier(**QUICK).fit(X, y)
    afina.AfinaClassifier(**QUICK).fit(X, y["t"])


@pytest.mark.parametrize("y", [CODES, CODES == 1, CODES * 2.0])
def test_numbers_in_an_array_of_objects_are_labels(y):
    """Whole numbers, booleans and numbers keep their type where the array has none."""
    model = afina.AfinaClassifier(**QUICK).fit(X, y.astype(object))

    assert model.classes_.dtype == y.dtype
    np.testing.assert_array_equal(
        model.predict(X), afina.AfinaClassifier(**QUICK).fit(X, y).predict(X)
    )


@pytest.mark.parametrize("kind", [afina.AfinaClassifier, afina.AfinaRegressor])
def test_a_name_is_no_target(kind):
    """A column's name in the place of y is refused with what to pass."""
    with pytest.raises(SchemaError, match=r"got the text 'kind'\. Pass the column itself"):
        kind(**QUICK).fit(X, "kind")
