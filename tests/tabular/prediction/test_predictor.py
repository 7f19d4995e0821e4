import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from afina.errors import AfinaWarning, NonFiniteError, SchemaError, TableError
from afina.table import read_table
from afina.tabular import fit_table, load


@pytest.fixture
def classifier(tables, kinds_csv, tmp_path):
    return load(
        fit_table(kinds_csv, target="kind", config=tables.config(), out=tmp_path / "kinds").run
    )


@pytest.fixture
def regressor(tables, prices_csv, tmp_path):
    return load(
        fit_table(prices_csv, target="price", config=tables.config(), out=tmp_path / "prices").run
    )


def test_a_row_alone_is_predicted_as_in_a_batch(classifier, regressor, kinds_csv, prices_csv):
    """The prediction for a row does not depend on the rows beside it, to 1e-12 of their span."""
    kinds, prices = read_table(kinds_csv), read_table(prices_csv)
    whole = classifier.predict_proba(kinds)
    numbers = regressor.predict(prices)
    for row in range(0, 120, 7):
        alone = classifier.predict_proba(kinds.slice(row, 1))[0]
        np.testing.assert_allclose(alone, whole[row], rtol=0, atol=1e-12)
        alone = regressor.predict(prices.slice(row, 1))[0]
        np.testing.assert_allclose(alone, numbers[row], rtol=0, atol=1e-12 * np.ptp(numbers))


def test_the_rows_order_is_kept(regressor, prices_csv, rng):
    """Shuffled rows get the predictions of the rows, shuffled the same way."""
    table = read_table(prices_csv)
    order = rng.permutation(table.num_rows)

    assert np.allclose(regressor.predict(table)[order], regressor.predict(table.take(order)))


def test_probabilities_add_up_and_fit_the_label(classifier, kinds_csv):
    """Probabilities are in [0, 1], add up to 1, and the likeliest class is the label."""
    table = read_table(kinds_csv)
    proba = classifier.predict_proba(table)
    labels = classifier.predict(table)

    assert np.allclose(proba.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert (proba >= 0).all()
    assert [classifier.classes[at] for at in proba.argmax(axis=1)] == labels.tolist()


def test_a_predicted_table_has_a_column_a_class(classifier, kinds_csv):
    """The prediction stands first, then one probability for each class in their order."""
    found = classifier.predict_table(kinds_csv)

    assert found.column_names == [
        "prediction",
        "probability_cheap",
        "probability_dear",
        "probability_fair",
    ]
    assert found.num_rows == 120
    assert found.schema.field("prediction").type == pa.string()


def test_every_kind_of_frame_is_predicted_alike(regressor, prices_csv):
    """pandas, polars, pyarrow and a mapping of columns give the same predictions."""
    table = read_table(prices_csv)
    frames = [
        table.to_pandas(),
        pl.from_arrow(table),
        table.to_pydict(),
        pd.read_csv(prices_csv, dtype={"code": str}, keep_default_na=False, na_values={"size": ""}),
        pl.read_csv(prices_csv, schema_overrides={"code": pl.String}, try_parse_dates=True),
    ]
    for frame in frames:
        assert np.allclose(regressor.predict(frame), regressor.predict(table), rtol=1e-12)


def test_columns_may_stand_in_another_order(regressor, prices_csv):
    """Columns are found by name."""
    table = read_table(prices_csv)
    turned = table.select(table.column_names[::-1])

    assert np.array_equal(regressor.predict(table), regressor.predict(turned))


def test_the_target_need_not_be_there(regressor, prices_csv):
    """Without the target column predictions are the same, and there is no warning."""
    table = read_table(prices_csv)

    assert np.array_equal(
        regressor.predict(table), regressor.predict(table.drop_columns(["price"]))
    )


def test_another_column_is_warned_of(regressor, prices_csv):
    """A column that the model does not know is named in a warning and not used."""
    table = read_table(prices_csv)
    more = table.append_column("shoe", pa.array(["x"] * table.num_rows))
    with pytest.warns(AfinaWarning, match="shoe"):
        found = regressor.predict(more)

    assert np.array_equal(found, regressor.predict(table))


def test_a_missing_column_is_named(regressor, prices_csv):
    """Without a column that the model learned from there is no prediction."""
    table = read_table(prices_csv).drop_columns(["size"])
    with pytest.raises(SchemaError, match="size"):
        regressor.predict(table)


def test_a_wrong_cell_is_named_by_row_and_column(regressor, tables, tmp_path):
    """A cell that is no number where one must be is named with file, row and column."""
    columns = tables.without(tables.make(20), "kind")
    columns["size"][4] = "huge"
    path = tables.write(tmp_path / "new.csv", columns)
    with pytest.raises(SchemaError, match=r"new\.csv.*'size'.*row 5.*'huge'"):
        regressor.predict_table(path)


def test_what_was_never_seen_gets_a_prediction(classifier):
    """Missing cells, unseen categories and extreme numbers get finite predictions."""
    rows = {
        "size": ["", "1e300", "-1e300", "0"],
        "color": ["", "violet", "red", "NA"],
        "sunny": ["", "true", "false", "true"],
        "day": ["", "1900-01-01", "2999-12-31", "2022-02-02"],
        "code": ["", "99999", "00001", "100"],
    }

    assert np.isfinite(classifier.predict_proba(rows)).all()


def test_no_rows_have_no_predictions(regressor, classifier, prices_csv, kinds_csv):
    """A table without rows gives no predictions."""
    assert regressor.predict(read_table(prices_csv).slice(0, 0)).shape == (0,)
    assert classifier.predict_proba(read_table(kinds_csv).slice(0, 0)).shape == (0, 3)


def test_a_prediction_that_is_not_finite_names_the_row(regressor, prices_csv):
    """A prediction that overflows is an error with the row's number, never a NaN."""
    with torch.no_grad():
        for parameter in regressor._exact.network.parameters():
            parameter.mul_(1e200)
    with pytest.raises(NonFiniteError, match="row 1 of"):
        regressor.predict_table(prices_csv)


def test_numbers_have_no_probabilities(regressor, prices_csv):
    """Asking a regression for probabilities is an error that says so."""
    with pytest.raises(SchemaError, match="need a target with classes"):
        regressor.predict_proba(read_table(prices_csv))


def test_what_is_no_table_is_refused(regressor):
    """A number is no table."""
    with pytest.raises(TableError):
        regressor.predict(7)


def test_evaluation_counts_rows_without_a_target(classifier, tables, tmp_path):
    """Rows without a target are left out of scores, and counted."""
    columns = tables.without(tables.make(50, seed=2), "price")
    columns["kind"][:5] = [""] * 5
    path = tables.write(tmp_path / "new.csv", columns)
    found = classifier.evaluate_table(path)

    assert found["rows"] == {"scored": 45, "left_out": 5}
    assert 0 <= found["scores"]["accuracy"] <= 1
    assert found["baseline_scores"]["accuracy"] <= 1
    assert "5 rows are left out" in found["notes"][0]


def test_evaluation_names_an_unknown_label(classifier, tables, tmp_path):
    """A label that the model never learned is an error with its row."""
    columns = tables.without(tables.make(50, seed=2), "price")
    columns["kind"][7] = "odd"
    with pytest.raises(SchemaError, match=r"row 8 holds 'odd'"):
        classifier.evaluate_table(tables.write(tmp_path / "new.csv", columns))


def test_evaluation_needs_the_target(classifier, tables, tmp_path):
    """A table without the target column cannot be scored."""
    columns = tables.without(tables.make(50, seed=2), "price", "kind")
    with pytest.raises(SchemaError, match="target column"):
        classifier.evaluate_table(tables.write(tmp_path / "new.csv", columns))


@pytest.mark.parametrize(
    "labels",
    [
        ("01", "1"),
        ("yes", "no"),
        ("9007199254740993", "9007199254740992"),
        ("1.0", "2"),
        ("TRUE", "FALSE"),
        ("NA", "none"),
        (" a", "a"),
        ("naïve", "☃"),
    ],
)
def test_labels_come_back_letter_by_letter(tables, tmp_path, labels):
    """A label is written in a prediction as it stood in the table."""
    columns = tables.make(60)
    column = [labels[kind == "dear"] for kind in columns["kind"]]
    table = tables.write(tmp_path / "a.csv", {"size": columns["size"], "y": column})
    run = fit_table(table, target="y", config=tables.config(), out=tmp_path / "run").run
    model = load(run)
    found = model.predict_table(table)

    assert sorted(model.classes) == sorted(labels)
    assert set(found["prediction"].to_pylist()) <= set(labels)
    assert sorted(found.column_names[1:]) == sorted(f"probability_{label}" for label in labels)


def test_prediction_is_in_eval_mode(classifier, kinds_csv):
    """Predicting again gives the same bytes, and no module is in train mode."""
    table = read_table(kinds_csv)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = (classifier.predict_proba(table) for _ in range(2))

    assert first.tobytes() == second.tobytes()
    assert not any(module.training for module in classifier.model.modules())
    assert not math.isnan(first.sum())


def test_a_model_left_in_train_mode_is_seen(classifier, kinds_csv):
    """With modules in train mode, predicting twice differs: the tests above would fail."""
    table = read_table(kinds_csv)
    classifier._exact.train()
    for module in classifier._exact.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    first, second = (classifier.predict_proba(table) for _ in range(2))

    assert first.tobytes() != second.tobytes()


@pytest.mark.parametrize("differ", ["weights", "input"])
def test_members_take_fewer_rows_at_a_time(tables, prices_csv, tmp_path, differ):
    """However many members there are, a layer of theirs gives a bounded part of the numbers."""
    config = tables.config(folds=1, val_frac=0.2)
    model = replace(config.model, members=32, members_differ=differ, d_block=64, norm=None)
    train = replace(config.train, max_epochs=1)
    config = replace(config, model=model, train=train)
    run = fit_table(prices_csv, target="price", config=config, out=tmp_path / "run").run
    model, table = load(run), pa.concat_tables([read_table(prices_csv)] * 20)
    sizes = []
    for layer in model._exact.network.body.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, inputs, out: sizes.append(out.numel()))
    model.predict(table)

    assert 2**16 < max(sizes) <= 2**18
