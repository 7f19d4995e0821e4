"""A row alone is predicted as a table of one row is, bit for bit, and fast."""

import datetime as dt
import decimal
import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from afina import AfinaClassifier, AfinaRegressor
from afina.errors import AfinaWarning, NonFiniteError, SchemaError, TableError
from afina.table import read_table
from afina.table.category.category_column import CategoryReader
from afina.table.date import date_column
from afina.table.numeric import number_column
from afina.tabular import Predictor, fit_table, load

N_ROWS = 120


def frame() -> pd.DataFrame:
    """Make rows of every kind of column."""
    rng = np.random.default_rng(5)
    day = np.datetime64("2022-01-01") + rng.integers(0, 700, N_ROWS).astype("timedelta64[D]")
    return pd.DataFrame(
        {
            "size": np.where(rng.random(N_ROWS) < 0.1, np.nan, rng.normal(50, 20, N_ROWS)),
            "rooms": rng.integers(1, 7, N_ROWS),
            "price": [f"{number:.2f} €".replace(".", ",") for number in rng.normal(9, 2, N_ROWS)],
            "serial": 1_700_000_000_000_000_000 + rng.integers(0, 10**6, N_ROWS),
            "color": rng.choice(["red", "green", "blue", "NA"], N_ROWS),
            "code": [f"{number:03d}" for number in rng.integers(0, 30, N_ROWS)],
            "open": rng.random(N_ROWS) < 0.5,
            "day": day.astype(str),
            "one": "same",
        }
    )


SETTINGS = {"max_epochs": 2, "d_block": 16, "n_blocks": 1, "averaging": "none"}
ENSEMBLE = {"members": 4, "members_differ": "weights", "folds": 4, "scaling": "robust"}
MEMBERS = {"members": 3, "members_differ": "input", "folds": 1, "val_frac": 0.2, "norm": "layer"}
ODD = {"scaling": "quantile", "categories": "embedding", "target_transform": "log"}
X = frame()
CLASSES = np.where(X["rooms"] > 4, "large", np.where(X["rooms"] > 2, "fair", "small"))


@pytest.fixture(scope="module")
def classifier():
    """Return an ensemble with embedded numbers."""
    model = AfinaClassifier(**SETTINGS, **ENSEMBLE, numeric_embedding="piecewise")
    with pytest.warns(AfinaWarning, match="1 column is left out: 'one'"):
        return model.fit(X, CLASSES)


@pytest.fixture(scope="module")
def regressor():
    """Return members that share their layers, over every other way to encode."""
    target = np.exp(X["rooms"].to_numpy() / 3)
    model = AfinaRegressor(**SETTINGS, **MEMBERS, **ODD, clip_predictions=True)
    with pytest.warns(AfinaWarning, match="1 column is left out: 'one'"):
        return model.fit(X, target)


def row_of(at: int) -> dict[str, object]:
    """Return one row as a mapping of cells."""
    return dict(X.iloc[at])


def as_columns(row: dict[str, object]) -> dict[str, list[object]]:
    """Return a table of one row, which goes the table's way."""
    return {name: [cell] for name, cell in row.items()}


def outcome(call, *arguments):
    """Return the bytes of what a call gives, or its error; and what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = np.atleast_1d(call(*arguments)).ravel().tolist()
            outcome = [one.hex() if isinstance(one, float) else one for one in found]
        except (ValueError, ArithmeticError, TypeError) as error:
            outcome = f"{type(error).__name__}: {error}"
    return outcome, sorted(str(one.message) for one in caught)


def disagreements(predictor: Predictor, row: dict[str, object]) -> list[str]:
    """Name the ways to predict a row that differ from the table's."""
    ways = {"predict": predictor.predict_row, "predict_proba": predictor.predict_proba_row}
    return [
        f"{name} of {row}"
        for name, of_row in ways.items()
        if outcome(of_row, row) != outcome(getattr(predictor, name), as_columns(row))
    ]


odd_cells = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-(2**64), 2**64)
    | st.sampled_from(
        ["", "NA", "nan", "?", " 7 ", "1.234,5 €", "-3 €", "1,5", "1e400", "007", "x"]
    )
    | st.sampled_from(["red", "Red", "true", "TRUE", "yes", "1", "1.0", "☃", "\ud800", "same"])
    | st.sampled_from(["2022-02-30", "2022-02-03", "2022-02-03 10:20", "03.02.2022", "20220203"])
    | st.sampled_from([dt.date(2022, 2, 3), dt.datetime(2022, 2, 3, 4, 5), b"x", [1]])  # noqa: DTZ001
    | st.sampled_from(
        [np.int8(3), np.float32(0.1), np.bool_(True), pd.NaT, pd.Timestamp(2022, 2, 3)]
    )
    | st.sampled_from(
        [dt.datetime(2022, 2, 3, tzinfo=dt.UTC), decimal.Decimal("1.5"), np.str_("red")]
    )
)


@st.composite
def rows(draw: st.DrawFn) -> dict[str, object]:
    """Draw a row of the table, one to three cells replaced, and maybe a column too few or too many."""
    row = row_of(draw(st.integers(0, N_ROWS - 1)))
    changed = draw(st.dictionaries(st.sampled_from(list(row)), odd_cells, min_size=1, max_size=3))
    row |= changed
    if draw(st.integers(0, 9)) == 0:
        del row[draw(st.sampled_from(list(row)))]
    if draw(st.integers(0, 9)) == 0:
        row["shoe"] = draw(odd_cells)
    names = draw(st.permutations(list(row)))
    return {name: row[name] for name in names}


@settings(max_examples=150)
@given(row=rows())
def test_odd_rows_are_predicted_as_in_a_table(classifier, regressor, row):
    """Odd cells give the table's prediction to the bit, its error word by word, and its warnings."""
    assert disagreements(classifier.predictor_, row) == []
    assert disagreements(regressor.predictor_, row) == []


def test_every_row_is_predicted_as_in_a_table(classifier, regressor):
    """The rows of a table, one by one, as numbers, as text and as a frame: the same bits."""
    for at in range(0, N_ROWS, 9):
        row = row_of(at)
        text = {name: "" if cell != cell else str(cell) for name, cell in row.items()}  # noqa: PLR0124
        for model in (classifier, regressor):
            assert disagreements(model.predictor_, row) == []
            assert disagreements(model.predictor_, text) == []
            wanted = model.predictor_.predict(as_columns(row))
            assert model.predict(X.iloc[[at]]).tolist() == wanted.tolist()
            assert model.predictor_.predict(X.iloc[[at]]).tolist() == wanted.tolist()
        proba = classifier.predict_proba(X.iloc[[at]])
        assert proba.tobytes() == classifier.predictor_.predict_proba(as_columns(row)).tobytes()


def test_a_row_is_predicted_as_in_a_batch(classifier, regressor):
    """A row alone and among others: the same prediction to 1e-12 of their span."""
    whole, numbers = classifier.predict_proba(X), regressor.predict(X)
    for at in range(0, N_ROWS, 9):
        alone = classifier.predictor_.predict_proba_row(row_of(at))
        assert np.allclose(alone, whole[at], rtol=0, atol=1e-12)
        alone = regressor.predictor_.predict_row(row_of(at))
        assert abs(alone - numbers[at]) <= 1e-12 * np.ptp(numbers)


@pytest.mark.parametrize(
    ("place", "name", "fault"),
    [
        (
            number_column,
            "parse_number",
            lambda text, form: (float(text.strip(" €").replace(",", "")), text),
        ),
        (number_column, "as_python", float),
        (CategoryReader, "_code", lambda reader, text: 3),
        (CategoryReader, "__call__", lambda reader, cell: 2),
        (date_column, "typed_second", lambda moment: float(moment.toordinal())),
    ],
)
def test_a_fault_is_seen(classifier, place, name, fault, monkeypatch):
    """With a fault seeded into the short way, the predictions differ from the table's."""
    predictor = classifier.predictor_
    monkeypatch.setattr(place, name, fault)
    changes = [{}, {"open": False}, {"color": None}, {"day": dt.date(2022, 2, 3)}]

    assert any(disagreements(predictor, row_of(3) | change) for change in changes)


def test_ordinary_rows_make_no_table(classifier, monkeypatch):
    """Numbers, text, booleans and missing cells are predicted without a table."""
    monkeypatch.setattr(Predictor, "_predict_table", None)
    row = row_of(3)
    for cells in (row, {name: str(cell) for name, cell in row.items()}, dict.fromkeys(row)):
        assert classifier.predictor_.predict_row(cells) in ("fair", "large", "small")
        assert classifier.predictor_.predict_proba_row(cells).shape == (3,)
    assert classifier.predict_proba(X.iloc[[3]]).shape == (1, 3)


def test_labels_and_numbers_are_plain(classifier, regressor):
    """A label comes back as it stood in the table; a number as Python's."""
    assert type(classifier.predictor_.predict_row(row_of(0))) is str
    assert type(regressor.predictor_.predict_row(row_of(0))) is float


def test_a_bad_cell_is_named_by_its_column(classifier):
    """A cell that is no number where one must be is an error with its column."""
    with pytest.raises(SchemaError, match=r"'rooms'.*'many'"):
        classifier.predictor_.predict_row(row_of(0) | {"rooms": "many"})


def test_a_missing_column_is_named(classifier):
    """Without a column that the model learned from there is no prediction."""
    row = row_of(0)
    del row["size"]
    with pytest.raises(SchemaError, match="'size' is missing"):
        classifier.predictor_.predict_proba_row(row)


def test_another_column_is_warned_of(classifier):
    """A column that the model does not know is named in a warning and not used."""
    with pytest.warns(AfinaWarning, match="shoe"):
        found = classifier.predictor_.predict_row(row_of(0) | {"shoe": 1})

    assert found == classifier.predictor_.predict_row(row_of(0))


@pytest.mark.parametrize("row", [[1, 2], (1, 2), X.iloc[[0]], X, "text", None])
def test_what_is_no_mapping_is_refused(classifier, row):
    """A row must be a mapping of names to cells."""
    if isinstance(row, pd.DataFrame) and len(row) == 1:
        row = row.to_numpy()
    with pytest.raises(TableError, match="mapping"):
        classifier.predictor_.predict_row(row)


def test_a_row_of_nothing_is_refused(classifier):
    """A mapping without a cell is no row."""
    with pytest.raises(TableError, match="columns"):
        classifier.predictor_.predict_row({})


def test_numbers_have_no_probabilities(regressor):
    """Asking a regression for the probabilities of a row is an error that says so."""
    with pytest.raises(SchemaError, match="need a target with classes"):
        regressor.predictor_.predict_proba_row(row_of(0))


def test_a_prediction_that_is_not_finite_is_an_error(classifier):
    """A prediction that overflows is an error, never a NaN."""
    predictor = pickle.loads(pickle.dumps(classifier.predictor_))  # noqa: S301
    with torch.no_grad():
        for parameter in predictor._exact.network.parameters():
            parameter.mul_(1e200)
    with pytest.raises(NonFiniteError, match="row 1 of"):
        predictor.predict_row(row_of(0))


def test_a_loaded_model_predicts_rows(tables, prices_csv, tmp_path):
    """What `load` returns predicts a row of the file, with its target or without."""
    run = fit_table(prices_csv, target="price", config=tables.config(), out=tmp_path / "run").run
    model, table = load(run), read_table(prices_csv)
    row = table.slice(7, 1).to_pylist()[0]
    wanted = model.predict(table.slice(7, 1))[0]

    assert model.predict_row(row) == wanted
    del row["price"]
    assert model.predict_row(row) == wanted


def test_estimators_check_the_columns_of_one_row(classifier):
    """A frame of one row with other columns than in the fit is refused as scikit-learn does."""
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(X.iloc[[0]][X.columns[::-1]])


def test_the_number_of_threads_is_put_back(classifier):
    """A row is predicted by one thread, and torch has as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen = []
    hook = classifier.predictor_._exact.register_forward_hook(
        lambda *_: seen.append(torch.get_num_threads())
    )
    try:
        classifier.predictor_.predict_row(row_of(0))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        hook.remove()
        torch.set_num_threads(before)


def test_rows_are_predicted_side_by_side(classifier):
    """Several threads at once get the predictions of one."""
    predictor = classifier.predictor_
    wanted = [predictor.predict_proba_row(row_of(at)).tobytes() for at in range(20)]
    found: dict[int, list[bytes]] = {}

    def ask(number: int) -> None:
        found[number] = [predictor.predict_proba_row(row_of(at)).tobytes() for at in range(20)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == dict.fromkeys(range(4), wanted)
