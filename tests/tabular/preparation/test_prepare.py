import numpy as np
import pytest

from afina.config import apply_settings
from afina.errors import SchemaError
from afina.table import row_ids, split_rows, to_table
from afina.tabular.preparation import prepare as pipeline
from afina.tabular.preparation.given import take_columns
from afina.tabular.preparation.roles import choose_roles
from afina.tabular.preparation.sides import LEAST_TO_SPLIT


def prepare(tables, columns, target="kind", *settings, val=None, **table):
    config = apply_settings(tables.config(**table), list(settings))
    roles = choose_roles(target, config.table)
    given = take_columns(to_table(columns), roles, "a.csv")
    held_out = None
    if val is not None:
        held_out = take_columns(to_table(val), roles, "val.csv", held_out=True)
    return pipeline.prepare(given, held_out, config)


def test_equal_rows_never_straddle_the_split(tables):
    """A row that stands many times in a table is on one side only."""
    columns = tables.without(tables.make(60), "price")
    order = np.random.default_rng(0).integers(0, 60, 300)
    found = prepare(tables, tables.reorder(columns, order))

    assert found.val is not None
    assert not set(order[found.sides.train]) & set(order[found.sides.val])


def repeated(tables, n_different, n_rows, copies):
    """Rows drawn from few different ones, with a target of their own or their row's."""
    columns = tables.without(tables.make(n_different), "price")
    order = np.random.default_rng(0).integers(0, n_different, n_rows)
    columns = tables.reorder(columns, order)
    if not copies:
        columns["kind"] = np.random.default_rng(1).choice(["cheap", "dear"], n_rows).tolist()
    return columns, order


def sides_of(found, order):
    """Return the sides that each different row is on."""
    return [set(order[rows].tolist()) for rows in (found.sides.train, found.sides.val)]


def test_rows_of_equal_features_stay_together_whatever_their_targets(tables):
    """Held-out rows have no equals in training that say otherwise; going by the target, they do."""
    columns, order = repeated(tables, 60, 300, copies=False)
    train, val = sides_of(prepare(tables, columns), order)
    assert not train & val

    by_target = row_ids(to_table(columns))
    split = split_rows(by_target, val_frac=0.2, seed=0)
    assert set(order[split.train].tolist()) & set(order[split.val].tolist())


@pytest.mark.parametrize("n_different", [20, 60])
def test_what_repeats_often_with_other_targets_is_observed_anew(tables, n_different):
    """Of few different rows that stand there often, equals are on both sides if targets differ."""
    columns, order = repeated(tables, n_different, 2000, copies=False)
    found = prepare(tables, columns)
    train, val = sides_of(found, order)

    assert train == val == set(range(n_different))
    assert len(found.sides.val) == 400


@pytest.mark.parametrize("n_different", [20, 60])
def test_copies_are_not_observed_anew(tables, n_different):
    """A table that is copied often stays together: 20 different rows are all trained on."""
    columns, order = repeated(tables, n_different, 2000, copies=True)
    found = prepare(tables, columns)

    if n_different < LEAST_TO_SPLIT:
        assert found.sides.val is None
    else:
        train, val = sides_of(found, order)
        assert not train & val


def test_every_class_is_held_out_in_its_share(tables):
    """Classes are held out in equal shares."""
    found = prepare(tables, tables.without(tables.make(300), "price"))
    assert found.val is not None
    shares = [np.bincount(rows.y, minlength=3) / len(rows) for rows in (found.train, found.val)]

    assert np.abs(shares[0] - shares[1]).max() < 0.02


def test_rows_without_target_or_weight_are_left_out(tables):
    """Missing targets and weights of 0 are left out, counted apart, and make no class."""
    columns = tables.without(tables.make(100), "price")
    columns["w"] = ["1"] * 100
    columns["w"][0] = "0"
    columns["kind"][0] = "only here"
    columns["kind"][1] = columns["kind"][2] = ""
    found = prepare(tables, columns, weight="w")
    both = np.concatenate([found.sides.train, found.sides.val])

    assert found.classes == ("cheap", "dear", "fair")
    assert found.n_left_out == 3
    assert sorted(both) == list(range(3, 100))
    assert [note.split(": ")[1] for note in found.notes[:2]] == [
        "2 rows are left out, because the target is missing",
        "1 row is left out, because the weight is 0",
    ]


@pytest.mark.parametrize(("bad", "words"), [("-1", "row 5 has -1"), ("", "row 5 has none")])
def test_a_wrong_weight_is_named(tables, bad, words):
    """A weight below 0 or missing is an error with its row."""
    columns = tables.without(tables.make(50), "price")
    columns["w"] = [f"{i % 3 + 1}" for i in range(50)]
    columns["w"][4] = bad
    with pytest.raises(SchemaError, match=words):
        prepare(tables, columns, weight="w")


def test_weights_of_text_are_refused(tables):
    """A weight column of words is an error."""
    columns = tables.without(tables.make(50), "price")
    with pytest.raises(SchemaError, match="color"):
        prepare(tables, columns, weight="color")


def test_few_distinct_rows_are_not_split(tables):
    """Repetition does not make rows enough to hold some out."""
    columns = tables.reorder(
        tables.without(tables.make(LEAST_TO_SPLIT - 1), "price"),
        np.repeat(np.arange(LEAST_TO_SPLIT - 1), 5),
    )
    found = prepare(tables, columns)

    assert found.val is None
    assert found.sides.val is None
    assert len(found.train) == 5 * (LEAST_TO_SPLIT - 1)


def test_a_split_that_was_asked_for_is_made(tables):
    """A time column splits also a table of few rows."""
    found = prepare(tables, tables.without(tables.make(30), "price"), time="day")

    assert found.val is not None


def test_a_few_bad_cells_of_held_out_rows_are_missing(tables):
    """A cell of a validation table that does not parse is taken as missing, and noted."""
    columns = tables.without(tables.make(60), "price")
    val = tables.without(tables.make(40, seed=1), "price")
    val["size"][3] = "huge"
    found = prepare(tables, columns, val=val)

    assert np.isnan(found.val.x_num[3, 0])
    assert any("huge" in note or "size" in note for note in found.notes)


def test_a_label_only_the_validation_table_has_is_named(tables):
    """A validation row of a class that was not learned is an error."""
    columns = tables.without(tables.make(60), "price")
    val = tables.without(tables.make(40, seed=1), "price")
    val["kind"][3] = "odd"
    with pytest.raises(SchemaError, match=r"val\.csv.*row 4 holds 'odd'"):
        prepare(tables, columns, val=val)


def test_a_target_constant_in_the_training_rows_is_named(tables):
    """Where the split leaves one class to train on, the error says so."""
    columns = tables.without(tables.make(60), "price")
    columns["kind"] = ["a" if day < "2023-06-15" else "b" for day in columns["day"]]
    with pytest.raises(SchemaError, match="among the training rows"):
        prepare(tables, columns, "kind", "table.val_frac=0.5", time="day")
