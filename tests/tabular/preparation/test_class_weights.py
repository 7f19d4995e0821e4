"""Weights of classes are weights of rows, in training only."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from afina.config import apply_settings
from afina.errors import ConfigError
from afina.table import read_target, to_table
from afina.tabular.preparation.class_weights import learn_class_weights
from afina.tabular.preparation.given import take_columns
from afina.tabular.preparation.prepare import prepare
from afina.tabular.preparation.roles import choose_roles


def learn(setting, cells, weights=None, task="auto"):
    target = read_target(to_table({"y": cells}).column("y"), task=task, name="y", source="t")
    weights = np.ones(len(cells)) if weights is None else np.array(weights)
    return learn_class_weights(setting, target, weights, "y")


def test_balanced_weights_are_those_of_scikit_learn():
    """All classes get the same total weight, which is that of all rows together."""
    y = np.repeat(["a", "b", "c"], [5, 30, 65])
    expected = compute_class_weight("balanced", classes=np.unique(y), y=y)

    assert learn("balanced", y.tolist()).tolist() == pytest.approx(expected, rel=1e-15)


def test_balanced_weights_count_a_row_of_weight_2_twice():
    """A weight is a number of rows, here too."""
    twice = learn("balanced", ["a", "a", "a", "b", "b", "b", "b"])
    weights = [2.0, 1.0, 2.0, 2.0]

    assert learn("balanced", ["a", "a", "b", "b"], weights).tolist() == twice.tolist()


@pytest.mark.parametrize(
    ("setting", "cells", "weights"),
    [
        ({"b": 2.0, "a": 1.0}, ["a", "b"] * 2, [1, 2]),
        ({"1": 3.0, "0": 1.0}, [0, 1] * 2, [1, 3]),
        ({"1": 3.0, "0": 1.0}, [0.0, 1.0] * 2, [1, 3]),
        ({"1.0": 3.0, "0.0": 1.0}, ["0", "1"] * 2, [1, 3]),
        ({"true": 3.0, "false": 1.0}, [False, True] * 2, [1, 3]),
        ({"1": 3.0, "0": 1.0}, [False, True] * 2, [1, 3]),  # 1 == True
        ({"true": 3.0, "false": 1.0}, [0, 1] * 2, [1, 3]),
    ],
)
def test_labels_are_found_however_they_are_written(setting, cells, weights):
    """A label is a text, a number or a boolean, as in the table or as Python compares it."""
    assert learn(setting, cells).tolist() == weights


@pytest.mark.parametrize(
    ("setting", "cells", "task", "says"),
    [
        ({"a": 1.0, "bb": 2.0, "b": 1.0}, ["a", "b"] * 2, "auto", "got 'bb'. Did you mean 'b'"),
        ({"x": 1.0}, ["a", "b"] * 2, "auto", "got 'x'. The labels are 'a', 'b'"),
        ({"a": 1.0}, ["a", "b", "c"] * 2, "auto", "none for 'b', 'c'"),
        ({"a=1,b": 1.0}, ["a", "b"] * 2, "auto", "Repeat --class-weight for each label"),
        ({"1": 1.0, "1.0": 2.0, "2": 1.0}, [1, 2] * 2, "auto", "'1' has two weights"),
        ("balanced", [1.5, 2.5, 3.5], "auto", "target 'y' is a number.*AfinaClassifier"),
        ({"1": 1.0}, [1, 2] * 2, "regression", "target 'y' is a number"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(setting, cells, task, says):
    """An unknown label, a label without a weight, and a number as the target are named."""
    with pytest.raises(ConfigError, match=says):
        learn(setting, cells, task=task)


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "true", "many"])
def test_a_weight_is_above_zero(tables, weight):
    """The message names the label and the value."""
    with pytest.raises(ConfigError, match=r"table\.class_weight\.dear must be a number, above 0"):
        apply_settings(tables.config(), [f"table.class_weight.dear={weight}"])


def prepare_weighted(tables, *settings):
    columns = tables.without(tables.make(80), "price")
    columns["w"] = [str(1 + row % 3) for row in range(80)]
    config = apply_settings(tables.config(weight="w"), list(settings))
    given = take_columns(to_table(columns), choose_roles("kind", config.table), "a.csv")
    return prepare(given, None, config)


def test_rows_are_weighted_for_training_and_not_for_scores(tables):
    """Training and validation rows have the product of both weights, and scores their own weight."""
    settings = [f"table.class_weight.{name}={n}" for name, n in zip(KINDS, (5, 2, 1), strict=True)]
    plain, weighted = prepare_weighted(tables), prepare_weighted(tables, *settings)
    for without, rows in ((plain.train, weighted.train), (plain.val, weighted.val)):
        assert rows.weights.tolist() == (without.weights * np.array([5, 2, 1])[rows.y]).tolist()
        assert rows.for_scores.tolist() == without.weights.tolist()

    assert "classes are weighted (cheap: 5, dear: 2, fair: 1)" in weighted.notes[-1]
    assert not [note for note in plain.notes if "weighted" in note]


KINDS = ("cheap", "dear", "fair")


def test_products_out_of_range_are_refused(tables):
    """A product that is infinite or 0 is no weight."""
    names = [f"table.class_weight.{name}=1e-320" for name in KINDS]
    columns = tables.without(tables.make(80), "price")
    columns["w"] = ["1e-20"] * 80
    config = apply_settings(tables.config(weight="w"), names)
    given = take_columns(to_table(columns), choose_roles("kind", config.table), "a.csv")
    with pytest.raises(ConfigError, match="class_weight times the weight"):
        prepare(given, None, config)
