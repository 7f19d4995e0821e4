"""The target: numbers, or classes whose labels stay exactly as written."""

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import SchemaError
from afina.table import Label, Target, match_target, read_target, to_table
from afina.table.target import RequestedTask


def target(cells: object, task: RequestedTask = "auto") -> Target:
    """Read cells as a target."""
    column = to_table({"y": cells}).column("y")
    return read_target(column, task=task, name="y", source="t.csv")


def labels(found: Target) -> list[object]:
    """Return each row its label back."""
    return [None if code < 0 else found.classes[int(code)] for code in found.values]


@pytest.mark.parametrize(
    "cells", [[None, 0, 1, 0, 1], [None, False, True] * 2, [None, 5.0, 7.0] * 2]
)
def test_a_missing_cell_takes_no_label_away(cells):
    """Where typed cells are missing, before the first row of a class too, every class has its label."""
    found = target(cells, "classification")

    assert found.classes == tuple(sorted({cell for cell in cells if cell is not None}))
    assert labels(found) == cells


@pytest.mark.parametrize(
    ("cells", "task", "classes"),
    [
        (["yes", "no"] * 2, "binary", ("no", "yes")),
        (["01", "1", "02"] * 2, "multiclass", ("01", "02", "1")),
        (["10", "9", "-1"] * 2, "multiclass", ("-1", "9", "10")),
        (["1.0", "2.0"] * 2, "binary", ("1.0", "2.0")),
        (["0.5", "2.5"] * 2, "binary", ("0.5", "2.5")),
        ([10, 9] * 2, "binary", (9, 10)),
        ([1.0, 2.0, 3.0] * 2, "multiclass", (1.0, 2.0, 3.0)),
        ([True, False] * 2, "binary", (False, True)),
        (["True", "False"] * 2, "binary", ("False", "True")),
        (["NA", "DE", "FR"] * 2, "multiclass", ("DE", "FR", "NA")),
        ([2**53 + 1, 2**53] * 2, "binary", (2**53, 2**53 + 1)),
        ([str(2**53 + 1), str(2**53)] * 2, "binary", (str(2**53), str(2**53 + 1))),
        (["x", "x ", "é"] * 2, "multiclass", ("x", "x ", "é")),
        ([f"{row % 10}" for row in range(30)], "multiclass", tuple("0123456789")),
    ],
)
def test_classes(cells: list[Label], task: str, classes: tuple[Label, ...]) -> None:
    """Labels keep their letters and types, sorted by value where all are numbers."""
    found = target(cells)

    assert (found.task, found.classes) == (task, classes)
    assert [type(label) for label in found.classes] == [type(label) for label in classes]
    assert labels(found) == cells
    assert not found.missing.any()


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1.5", "2", "2.5", "NA", ""], [1.5, 2, 2.5, np.nan, np.nan]),
        (["1,5 €", "2 €", "3 €"], [1.5, 2, 3]),
        ([1.5, None, 2.5, 3.5], [1.5, np.nan, 2.5, 3.5]),
        (list(range(11)), list(range(11))),
    ],
)
def test_numbers(cells: list[object], values: list[float]) -> None:
    """Numbers that are not few and whole are a regression; words for "missing" are missing."""
    found = target(cells)

    assert (found.task, found.classes) == ("regression", ())
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.missing, np.isnan(values))


def test_asked_tasks() -> None:
    """What is asked for wins: whole numbers as a regression, many numbers as classes."""
    assert target([0, 1, 0, 1], "regression").task == "regression"
    assert target([True, False, True], "regression").values.tolist() == [1, 0, 1]
    assert target(["01", "02", "04"], "regression").values.tolist() == [1, 2, 4]
    many = [value / 4 for value in range(20)] * 2
    assert len(target(many, "classification").classes) == 20


def test_equal_numbers_are_one_class() -> None:
    """A number written in two ways is one class, by its first spelling."""
    assert labels(target(["1", "1.0", "2", "2.0"])) == ["1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("cells", "task", "says"),
    [
        (["", "", ""], "auto", "every cell is missing"),
        ([None, None], "auto", "every cell is missing"),
        (["x", "x", ""], "auto", "at least two classes, but every value is 'x'"),
        ([5, 5, 5], "auto", "at least two classes, but every value is 5"),
        ([5.5, 5.5], "regression", "must vary, but every value is 5.5"),
        (["a", "a", "b"], "auto", r"only row 3 has 'b'\. "),
        (["a", "b", "c", "c"], "auto", r"only row 1 has 'a' \(and 1 more class like it\)"),
        (["1.5", "2.5", "inf", "3.5"], "auto", "row 3 holds 'inf'"),
        (["1.5", "1e999", "3.5"], "auto", "row 2 is infinite"),
        ([1.5, np.inf, 3.5], "auto", "row 2 is infinite"),
        (["a", "b"] * 3, "regression", r"row 1 holds 'a'"),
        (["1", "2", "3", "x"], "auto", r"row 4 holds 'x'.*--task classification"),
        (["1", "2", "3", "x"], "regression", "numbers as requested, but row 4 holds 'x'"),
        ([1, 2, 3, 4], "auto", "only row 1 has 1 .*--task regression"),
        (["a", "b", "c"] * 2, "binary", "two classes for the task binary, but it has 3: 'a', 'b'"),
        (["a", "b"] * 2, "multiclass", r"three classes or more .* it has 2.*Use `--task binary`"),
        ([row + 0.5 for row in range(9)], "multiclass", "9 different numbers.*--task regression"),
        ([f"name {row}" for row in range(1500)], "auto", "1500 different values in 1500 rows"),
        (np.array(["2024-01-31", "2024-02-01"], "M8[s]"), "auto", "got dates"),
    ],
)
def test_no_target(cells: object, task: RequestedTask, says: str) -> None:
    """What cannot be predicted is named, with table, column, row and label."""
    with pytest.raises(
        SchemaError, match=rf"t\.csv: target 'y' .*{says}|t\.csv: column 'y' .*{says}"
    ):
        target(cells, task)


def test_single_rows_may_be_allowed() -> None:
    """A caller that splits nothing off may take a class with a single row."""
    column = pa.chunked_array([["a", "a", "b"]])
    found = read_target(column, name="y", source="t", allow_single=True)

    assert found.classes == ("a", "b")


def test_missing_values() -> None:
    """Words that mean "missing" do so in the target too."""
    column = pa.chunked_array([["a", "b", "?", "a", "b"]])
    found = read_target(column, name="y", source="t", missing_values=["?"])

    assert labels(found) == ["a", "b", None, "a", "b"]
    assert found.missing.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("classes", "cells", "codes"),
    [
        (("no", "yes"), ["yes", "no", ""], [1, 0, -1]),
        (("1", "2"), [1, 2.0, None], [0, 1, -1]),
        ((1, 2), ["1", "2.0", ""], [0, 1, -1]),
        ((1.0, 2.5), ["1", 2.5], [0, 1]),
        ((False, True), ["True", "FALSE"], [1, 0]),
        (("False", "True"), [True, False], [1, 0]),
        (("01", "1"), ["1", "01"], [1, 0]),
        (("a", "NA"), ["NA", "a"], [1, 0]),
    ],
)
def test_match(classes: tuple[Label, ...], cells: list[object], codes: list[int]) -> None:
    """Labels of another table meet the classes learned, whatever type they come in."""
    column = to_table({"y": cells}).column("y")
    found = match_target(column, task="binary", classes=classes, name="y", source="t")

    assert found.values.tolist() == codes
    assert found.classes == classes


def test_match_numbers() -> None:
    """Numbers of another table are read by their own format; they may all be equal."""
    column = pa.chunked_array([["1,5", "1,5", ""]])
    found = match_target(column, task="regression", classes=(), name="y", source="t")

    np.testing.assert_array_equal(found.values, [1.5, 1.5, np.nan])


def test_unknown_label() -> None:
    """A label that was never learned is named, with its row and the labels known."""
    column = pa.chunked_array([["a", "c"]])
    with pytest.raises(SchemaError, match=r"row 2 holds 'c'. Use one of 'a', 'b'"):
        match_target(column, task="binary", classes=("a", "b"), name="y", source="t")


@given(cells=st.lists(st.sampled_from([*"abc", "01", "1", "1.0", "NA", "", "x y"]), min_size=2))
def test_labels_come_back(cells: list[str]) -> None:
    """Every class label is a cell of the table, and text labels come back row by row."""
    try:
        found = target(cells, "classification")
    except SchemaError:
        return
    assert set(found.classes) <= set(cells)
    numbers = {"01", "1", "1.0", "NA", ""}
    if not set(cells) <= numbers:
        assert labels(found) == [cell or None for cell in cells]


@pytest.mark.parametrize("task", ["regression", "auto"])
@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int64(), pa.uint64()])
def test_typed_numbers_are_read_as_they_are(task, kind):
    """Numbers of a typed column are the same without a detour over their text."""
    values = [None if row == 7 else row * 3 + 1 for row in range(40)]
    column = pa.chunked_array([pa.array(values, kind)])
    quick = read_target(column, task=task, name="y", source="t")
    slow = read_target(column, task=task, name="y", source="t", missing_values=["no number"])

    assert (quick.task, quick.classes) == (slow.task, slow.classes) == ("regression", ())
    np.testing.assert_array_equal(quick.values, slow.values)
    np.testing.assert_array_equal(quick.missing, slow.missing)


@pytest.mark.parametrize("missing_values", [(), ("x",)])
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([None, None], "every cell is missing"),
        ([2.5, 2.5], "every value is 2.5"),
        ([1.5, float("inf")], "row 2 is infinite"),
    ],
)
def test_wrong_numbers_are_refused_alike(values, words, missing_values):
    """The short way refuses what the long way refuses, with the same words."""
    column = pa.chunked_array([pa.array(values, pa.float64())])
    with pytest.raises(SchemaError, match=words):
        read_target(column, task="regression", name="y", source="t", missing_values=missing_values)


def test_a_declared_target_is_classes():
    """Many whole numbers are a regression, unless the table declares them as categories."""
    column = pa.chunked_array([pa.array(list(range(20)) * 3)])

    assert read_target(column, name="y", source="t").task == "regression"
    assert read_target(column, name="y", source="t", declared=True).task == "multiclass"


@pytest.mark.parametrize("task", ["binary", "classification", "auto"])
def test_a_task_that_fits_changes_nothing(task: RequestedTask) -> None:
    """Two classes are the same classes whatever word requests them."""
    read = target(["b", "a"] * 3, task)

    assert (read.task, read.classes) == ("binary", ("a", "b"))
    assert read.values.tolist() == [1, 0] * 3


@pytest.mark.parametrize(
    ("cells", "task", "says"),
    [
        ([1, 2, 3, 4, 5] * 4, "auto", "5 distinct whole numbers, from 1 to 5, so each is a class"),
        (
            ["1", "2", "3"] * 4,
            "auto",
            "3 distinct whole numbers.*--task regression.*AfinaRegressor",
        ),
        (list(range(12)) * 4, "auto", "12 distinct whole numbers.*--task multiclass"),
        ([1, 2, 3] * 4, "multiclass", "^$"),
        (list(range(12)) * 4, "regression", "^$"),
        ([0, 1] * 4, "auto", "^$"),
        (list(range(31)) * 4, "auto", "^$"),
        ([value / 2 for value in range(20)] * 4, "auto", "^$"),
        (["a", "b", "c"] * 4, "auto", "^$"),
        ([True, False] * 4, "auto", "^$"),
    ],
)
def test_a_doubtful_task_is_explained(cells: list[Label], task: RequestedTask, says: str) -> None:
    """A note says why few whole numbers are classes, or are not, and how to change it."""
    assert re.search(says, target(cells, task).note)
