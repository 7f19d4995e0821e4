import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

import afina
from afina.errors import AfinaWarning, ConfigError, SchemaError, TableError

QUICK = {"d_block": 8, "members": 2, "folds": 2, "max_epochs": 1}
N_ROWS = 60


class Query:
    """A frame of another library that holds no rows yet."""

    def collect(self) -> None:
        """Do nothing."""


def numbers(seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    x = np.random.default_rng(seed).normal(size=(N_ROWS, 2))
    return pd.DataFrame(x, columns=["a", "b"]), (x.sum(axis=1) > 0).astype(int)


def mixed() -> tuple[pd.DataFrame, np.ndarray]:
    frame, y = numbers()
    codes = np.arange(N_ROWS) % 3
    return frame.assign(
        shop=pd.Categorical(codes * 100),
        city=np.where(codes == 0, "Rome", "Oslo"),
        on=codes > 1,
        flag=pd.Categorical(codes > 0),
        when=pd.Timestamp("2024-01-01 10:00") + pd.to_timedelta(codes, "D"),
        day=pd.Categorical(pd.Timestamp("2024-01-01") + pd.to_timedelta(codes, "D")),
        band=pd.cut(frame["a"], 3),
        code=2**60 + codes,
    ), y


@pytest.mark.parametrize("make", [numbers, mixed])
def test_an_array_is_a_frame_by_position(make):
    """A model that learned from a frame takes an array, with the warning of scikit-learn."""
    frame, y = make()
    model = afina.AfinaClassifier(**QUICK).fit(frame, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = model.predict_proba(frame)
    with pytest.warns(UserWarning, match="X does not have valid feature names") as record:
        probabilities = model.predict_proba(frame.to_numpy())

    assert len(record) == 1
    np.testing.assert_array_equal(probabilities, expected)


@pytest.mark.filterwarnings("ignore:X ")
def test_numbered_frames_and_arrays_are_the_same_columns():
    """What was learned from numbered columns, arrays or names is asked by any without names."""
    frame, y = numbers()
    array = frame.to_numpy()
    numbered = pd.DataFrame(array)
    shifted = pd.DataFrame(array, columns=[7, 3])
    expected = afina.AfinaClassifier(**QUICK).fit(frame, y).predict_proba(frame)
    for learned in (array, numbered, shifted, frame):
        model = afina.AfinaClassifier(**QUICK).fit(learned, y)
        for asked in (array, numbered, shifted, array.tolist(), learned):
            np.testing.assert_array_equal(model.predict_proba(asked), expected)
            one = model.predict_proba(asked[:1])
            np.testing.assert_allclose(one, expected[:1], rtol=1e-9)


def test_names_do_not_win_where_the_model_learned_none():
    """After an array, a frame is taken by position even where its names are those of an array."""
    frame, y = numbers()
    model = afina.AfinaClassifier(**QUICK).fit(frame.to_numpy(), y)
    swapped = frame.set_axis(["x1", "x0"], axis=1)
    expected = model.predict_proba(frame.to_numpy())
    with pytest.warns(UserWarning, match="fitted without feature names"):
        np.testing.assert_array_equal(model.predict_proba(swapped), expected)
    with pytest.warns(UserWarning, match="fitted without feature names"):
        one = model.predict_proba(swapped.iloc[:1])
    np.testing.assert_allclose(one, expected[:1], rtol=1e-9)


@pytest.mark.filterwarnings("ignore:X ")
def test_too_many_columns_are_refused():
    """An array with a column more or less is refused with both numbers."""
    frame, y = numbers()
    model = afina.AfinaClassifier(**QUICK).fit(frame, y)
    for width in (1, 3):
        with pytest.raises(ValueError, match=f"X has {width} features, but .* expecting 2"):
            model.predict(np.zeros((2, width)))


@pytest.mark.filterwarnings("ignore:X ")
def test_validation_rows_may_come_by_position():
    """Validation rows of an array, or of a second fit, are those of the frame."""
    frame, y = numbers()
    model = afina.AfinaClassifier(**{**QUICK, "folds": 1})
    expected = model.fit(frame, y, X_val=frame[:20], y_val=y[:20]).predict_proba(frame)
    model.fit(frame.to_numpy(), y)
    model.fit(frame, y, X_val=frame[:20].to_numpy(), y_val=y[:20])

    np.testing.assert_array_equal(model.predict_proba(frame), expected)


def test_a_predictor_takes_an_array_by_position():
    """A loaded model takes an array too, with a warning that names the columns."""
    frame, y = numbers()
    predictor = afina.AfinaClassifier(**QUICK).fit(frame, y).predictor_
    expected = predictor.predict_proba(frame)
    for data in (frame.to_numpy(), frame.set_axis([0, 1], axis=1)):
        with pytest.warns(
            AfinaWarning, match="no column names, but the model learned from 'a', 'b'"
        ):
            np.testing.assert_array_equal(predictor.predict_proba(data), expected)
    with pytest.raises(SchemaError, match="'a', 'b' are missing"):
        predictor.predict(np.zeros((2, 3)))


def test_a_predictor_of_an_array_takes_one_silently():
    """There is nothing to warn of where the model learned from an array."""
    frame, y = numbers()
    predictor = afina.AfinaClassifier(**QUICK).fit(frame.to_numpy(), y).predictor_
    expected = predictor.predict_proba(frame.to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbered = predictor.predict_proba(frame.set_axis([0, 1], axis=1))

    np.testing.assert_array_equal(numbered, expected)


def test_names_in_another_case_are_suggested():
    """Column names that differ in case only are suggested, by estimators and predictors."""
    frame, y = numbers()
    model = afina.AfinaClassifier(**QUICK).fit(frame.set_axis(["Age", "Income"], axis=1), y)
    other = frame.set_axis(["age", "income"], axis=1)
    hint = "Did you mean 'age', 'income'\\? Rename them to 'Age', 'Income'."
    with pytest.raises(ValueError, match=f"(?s)feature names should match.*{hint}"):
        model.predict(other)
    with pytest.raises(SchemaError, match=hint):
        model.predictor_.predict(other)
    with pytest.raises(SchemaError, match=r"'Income' is missing\. Did you mean 'income'"):
        model.predictor_.predict(frame.set_axis(["Age", "income"], axis=1))


@pytest.mark.filterwarnings("ignore:A column-vector")
def test_a_lazy_frame_is_collected():
    """Lazy frames, batches and streams are what they hold; others are refused by name."""
    frame, y = numbers()
    eager = pl.from_pandas(frame)
    model = afina.AfinaClassifier(**QUICK).fit(eager, y)
    expected = model.predict_proba(eager)
    lazy = afina.AfinaClassifier(**QUICK).fit(eager.lazy(), pl.LazyFrame({"y": y}))
    batches = eager.to_arrow().to_batches()
    for data in (eager.lazy(), pa.RecordBatchReader.from_batches(batches[0].schema, batches)):
        np.testing.assert_array_equal(lazy.predict_proba(data), expected)
    with pytest.raises(TableError, match=r"got a Query\. Collect it first"):
        model.fit(Query(), y)


def test_cells_that_are_missing_in_arrays_and_lists():
    """Masked cells, None, pd.NA and NaT are missing in whatever holds them."""
    frame, y = numbers()
    gone = np.arange(N_ROWS) % 5 == 0
    holes = np.stack([gone, ~gone], axis=1)
    words = np.where(np.arange(N_ROWS) % 2, "u", "v")
    days = np.datetime64("2024-01-01") + np.arange(N_ROWS)
    pairs = list(zip(gone, words, strict=True))
    for data, missing, kinds in (
        (np.ma.array(frame.to_numpy(), mask=holes), [0.2, 0.8], ["numeric"] * 2),
        ([[pd.NA if g else 1.5, w if not g else None] for g, w in pairs], [0.2, 0.2], None),
        (
            [[float("nan") if g else 1.5, float("nan") if g else w] for g, w in pairs],
            [0.2, 0.2],
            None,
        ),
        (np.array([[pd.NaT if g else i, w] for i, (g, w) in enumerate(pairs)]), [0.2, 0], None),
        (
            np.stack([np.where(gone, np.datetime64("NaT"), days), days], axis=1),
            [0.2, 0],
            ["datetime"] * 2,
        ),
    ):
        columns = afina.AfinaClassifier(**QUICK).fit(data, y).schema_.columns
        np.testing.assert_allclose([column.missing_frac for column in columns], missing)
        expected = kinds or ["numeric", "categorical"]
        assert [column.kind for column in columns] == expected


def test_masked_groups_and_weights():
    """A masked weight is refused with its row; it is not the number under the mask."""
    frame, y = numbers()
    weights = np.ma.array(np.ones(N_ROWS), mask=np.arange(N_ROWS) == 4)
    with pytest.raises(SchemaError, match="row 5 has none"):
        afina.AfinaClassifier(**QUICK).fit(frame, y, sample_weight=weights)


@pytest.mark.parametrize("names", [["y"], ["target"], ["y", "target"], ["y", "target", "y_target"]])
def test_the_name_of_the_target_is_no_feature(names, tmp_path):
    """A feature is never taken for the target, whatever it is called."""
    frame, y = numbers()
    data = frame.assign(**dict.fromkeys(names, 0) | dict.fromkeys(names, frame["a"] ** 2))
    model = afina.AfinaClassifier(**QUICK, run_dir=tmp_path / "run").fit(data, y)
    data.to_csv(tmp_path / "table.csv", index=False)
    predictor = afina.load(tmp_path / "run")

    assert predictor.target not in data.columns
    np.testing.assert_allclose(predictor.predict_proba(data), model.predict_proba(data))
    with pytest.raises(SchemaError, match=f"there is no column '{predictor.target}'"):
        predictor.evaluate_table(tmp_path / "table.csv")


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        *(("number", "numeric"), ("int64", "numeric"), ("Numeric", "numeric")),
        *(("category", "categorical"), ("bool", "boolean"), ("date", "datetime"), ("str", "text")),
    ],
)
def test_a_near_kind_is_suggested(word, kind):
    """Other words for a kind lead to it."""
    frame, y = numbers()
    with pytest.raises(ValueError, match=f"Did you mean '{kind}'"):
        afina.AfinaClassifier(kinds={"a": word}).fit(frame, y)


@pytest.mark.parametrize("names", [["a", "a"], [0, 0], [1, "1"]])
def test_repeated_names_are_refused_in_afinas_words(names: list[object]) -> None:
    """A frame that repeats a column name is a TableError that names the column."""
    x = pd.DataFrame(np.arange(120.0).reshape(60, 2), columns=names)
    with pytest.raises(TableError, match=f"column names must differ, but '{names[0]}' appears"):
        afina.AfinaClassifier(**QUICK).fit(x, [0, 1] * 30)


def test_mappings_records_and_structured_arrays_are_frames() -> None:
    """A mapping of columns, a list of rows and a structured array are the frame with their names."""
    frame, y = numbers()
    model = afina.AfinaClassifier(**QUICK).fit(frame, y)
    expected = model.predict_proba(frame)
    records = frame.to_records(index=False)
    for data in (
        {"a": frame["a"], "b": frame["b"].tolist()},
        frame.to_dict("records"),
        records,
        np.array(records.tolist(), dtype=[("a", float), ("b", float)]),
        np.ma.array(records.tolist(), dtype=[("a", float), ("b", float)]),
    ):
        again = afina.AfinaClassifier(**QUICK).fit(data, y)
        assert again.feature_names_in_.tolist() == ["a", "b"]
        np.testing.assert_array_equal(again.predict_proba(data), expected)
        np.testing.assert_array_equal(model.predict_proba(data), expected)
        np.testing.assert_array_equal(model.predictor_.predict_proba(data), expected)


def test_what_a_record_lacks_is_missing() -> None:
    """A row without a name, and a masked field, are missing cells."""
    frame, y = numbers()
    rows = [{"a": cell} if at % 5 else {"b": 1.5} for at, cell in enumerate(frame["a"])]
    masked = np.ma.array(
        list(zip(frame["a"], ["u", "v"] * 30, strict=True)), dtype=[("a", float), ("s", "U1")]
    )
    masked["s"][::4] = np.ma.masked
    for data, missing in ((rows, [0.8, 0.2]), (masked, [0, 0.25])):
        columns = afina.AfinaClassifier(**QUICK).fit(data, y).schema_.columns
        np.testing.assert_allclose([column.missing_frac for column in columns], missing)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "must have columns"),
        ({"a": [1.0] * N_ROWS, "b": [1.0]}, "must have the same length"),
        ({"a": 1.0}, "column 'a' must be a sequence"),
        (np.zeros(N_ROWS, dtype=[("a", float, (2,))]), "column 'a' must have one dimension"),
        ("table.csv", "X must hold rows; got the text 'table.csv'"),
        (Path("table.csv"), "X must hold rows; got the text 'table.csv'"),
    ],
)
def test_what_is_no_table_is_refused_in_afinas_words(data: object, words: str) -> None:
    """Mappings that are no tables, and paths, are refused by name."""
    with pytest.raises(TableError, match=words):
        afina.AfinaClassifier(**QUICK).fit(data, [0, 1] * 30)


@pytest.mark.filterwarnings("ignore:X ")
def test_eval_set_is_another_name_for_validation_rows() -> None:
    """A pair, or a list of one pair as other libraries take it, is X_val and y_val."""
    frame, y = numbers()
    model = afina.AfinaClassifier(**{**QUICK, "folds": 1})
    expected = model.fit(frame, y, X_val=frame[:2], y_val=y[:2]).predict_proba(frame)
    pair = (frame[:2], y[:2])
    plain = (frame[:2].to_numpy().tolist(), y[:2].tolist())
    for eval_set in (pair, [pair], [list(pair)], list(pair), plain, (pair,)):
        model.fit(frame, y, eval_set=eval_set)
        assert model.predictor_.facts.n_val == 2
        np.testing.assert_array_equal(model.predict_proba(frame), expected)


FRAME, Y = numbers()
WRONG_SETS = {
    "two pairs": ([(FRAME, Y), (FRAME, Y)], "got 2 pairs"),
    "two pairs in a tuple": (((FRAME, Y), (FRAME, Y)), "got 2 pairs"),
    "rows alone": (FRAME, "got a DataFrame"),
    "rows alone in a list": ([FRAME], "got a DataFrame"),
    "three parts": ((FRAME, Y, Y), "got a tuple of 3"),
    "nothing": ([], "got a list"),
    "without targets": ((FRAME, None), "without None"),
    "text": ("val", "got a str"),
}


@pytest.mark.parametrize("name", WRONG_SETS)
def test_a_wrong_eval_set_is_refused_by_name(name: str) -> None:
    """What is not one pair is named, with the form that works."""
    eval_set, words = WRONG_SETS[name]
    with pytest.raises(ConfigError, match=f"eval_set must be one pair.*{words}"):
        afina.AfinaClassifier(**QUICK).fit(FRAME, Y, eval_set=eval_set)


@pytest.mark.parametrize("name", ["X_val", "y_val"])
def test_validation_rows_are_passed_once(name: str) -> None:
    """Both ways at once are refused by their names."""
    with pytest.raises(ConfigError, match=f"both eval_set and {name} are given. Leave one out"):
        afina.AfinaRegressor(**QUICK).fit(FRAME, Y, eval_set=(FRAME, Y), **{name: FRAME})


def test_what_became_of_each_column() -> None:
    """columns_ lists every column; those that are left out are a note, and a warning at the call."""
    data = FRAME.assign(same="x", id=[f"id{at:04d}" for at in range(N_ROWS)], skip=1.5)
    model = afina.AfinaClassifier(**QUICK, kinds={"skip": "ignored"})
    note = (
        "2 columns are left out: 'same' (every cell is 'x'), "
        "'id' (an identifier: every value is different)"
    )
    with pytest.warns(AfinaWarning) as record:
        model.fit(data, Y)

    assert [str(warning.message) for warning in record] == [f"{note}. columns_ lists every column."]
    assert record[0].filename == __file__
    assert model.notes_ == (note,)
    assert [column["column"] for column in model.columns_] == list(data.columns)
    assert [column["used"] for column in model.columns_] == [True, True, False, False, False]
    table = pd.DataFrame(model.columns_).set_index("column")
    assert table.loc["id", "why"] == "an identifier: every value is different"
    assert table.loc["a", "kind"] == "numeric"


def test_what_is_left_out_on_request_is_no_surprise() -> None:
    """A column that the user sets aside, or a table that is used whole, is neither."""
    data = FRAME.assign(id=[f"id{at:04d}" for at in range(N_ROWS)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert afina.AfinaClassifier(**QUICK, kinds={"id": "ignored"}).fit(data, Y).notes_ == ()
        assert afina.AfinaClassifier(**QUICK).fit(FRAME, Y).notes_ == ()
        kept = afina.AfinaClassifier(**QUICK, kinds={"id": "categorical"}).fit(data, Y)
    assert kept.columns_[2]["used"]


def test_many_columns_that_are_left_out_are_one_short_warning() -> None:
    """Five columns are named with a reason, and the others counted."""
    data = FRAME.assign(**{f"c{number}": "x" for number in range(30)})
    with pytest.warns(AfinaWarning, match=r"^30 columns are left out: .*'c4' \(.* and 25 more\."):
        afina.AfinaRegressor(**QUICK).fit(data, FRAME["a"])


@pytest.mark.parametrize("kind", ["csr_array", "coo_matrix", "dok_array", "dok_matrix"])
def test_sparse_data_is_refused_by_name(kind: str) -> None:
    """A sparse matrix, also one that is a mapping, is refused as sparse."""
    sparse = getattr(scipy.sparse, kind)(np.eye(N_ROWS))
    with pytest.raises(TypeError, match="Sparse data was passed"):
        afina.AfinaClassifier(**QUICK).fit(sparse, Y)
    with pytest.raises(TableError, match="sparse matrices are not supported"):
        afina.AfinaClassifier(**QUICK).fit(FRAME, Y).predictor_.predict(sparse)
