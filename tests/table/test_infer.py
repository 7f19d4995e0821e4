"""What is learned of columns: from training rows only, with weights, in plain words."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import SchemaError
from afina.table import Column, Kind, Schema, encode, infer_schema, to_table

CELLS = [
    *["1", "2.5", "-3", "0", "NA", "", "abc", "true", "False", "2024-01-31", "31.01.2024", "01"],
    *["1,5", "1.234,5 €", "5%", str(2**60), str(2**60 + 1), str(2**70), "x y", "None", "1e5"],
]
TYPED: list[st.SearchStrategy[Any]] = [
    st.sampled_from(CELLS),
    st.none() | st.integers(-(2**62), 2**62),
    st.none() | st.floats(-1e6, 1e6).map(lambda value: round(value, 2)),
    st.none() | st.booleans(),
    st.none() | st.datetimes(),
    st.sampled_from(CELLS[:3]),
]


@st.composite
def tables(draw: st.DrawFn, n_rows: int = 24) -> pa.Table:
    """Make a small table with a column of every type."""
    columns = {
        f"c{number}": draw(st.lists(cell, min_size=n_rows, max_size=n_rows))
        for number, cell in enumerate(TYPED)
    }
    return to_table(columns)


def learned(schema: Schema) -> str:
    """Write a schema as the bytes that are stored."""
    return json.dumps(schema.to_dict())


def learn(table: pa.Table, **options: Any) -> str:
    """Infer a schema from a table and write it."""
    try:
        return learned(infer_schema(table, **options))
    except SchemaError as error:
        return str(error)


def leaks(infer: Callable[[pa.Table, np.ndarray], str], first: pa.Table, second: pa.Table) -> bool:
    """Whether rows that are not trained on change what is learned."""
    rows = np.arange(0, first.num_rows, 2)
    mixed = pa.concat_tables([first, second], promote_options="permissive").take(
        [row if row % 2 == 0 else row + first.num_rows for row in range(first.num_rows)]
    )
    return infer(first, rows) != infer(mixed, rows)


@given(first=tables(), second=tables())
def test_no_leakage(first: pa.Table, second: pa.Table) -> None:
    """No value in a row that is not trained on changes a byte of the schema."""
    assert not leaks(lambda table, rows: learn(table, rows=rows), first, second)


def test_a_leak_is_seen() -> None:
    """A variant that learns from all rows is caught by the same check."""
    first = to_table({"a": ["1", "2", "3", "4"] * 6, "b": ["x", "y"] * 12})
    second = to_table({"a": ["1", "9", "3", "9"] * 6, "b": ["x", "z"] * 12})

    assert not leaks(lambda table, rows: learn(table, rows=rows), first, second)
    assert leaks(lambda table, rows: learn(table), first, second)


def test_late_cells_do_not_matter() -> None:
    """A word, a date or a code outside of the training rows leaves the numbers numbers."""
    cells = [str(row * 3 % 7) for row in range(30)]
    for late in ("abc", "007", "inf", "1,5", "2024-01-31", str(2**70)):
        table = to_table({"a": [*cells, late]})
        schema = infer_schema(table, rows=np.arange(30))
        assert schema == infer_schema(to_table({"a": cells}))
        assert schema.columns[0].kind == "numeric"


@given(table=tables(), weights=st.lists(st.integers(0, 3), min_size=24, max_size=24))
def test_a_weight_of_two_is_the_row_twice(table: pa.Table, weights: list[int]) -> None:
    """Whole weights learn what repeated rows learn; the order of rows does not matter then."""
    if not any(weights):
        return
    repeated = table.take(np.repeat(np.arange(24), weights))

    # Row numbers in messages and row-number columns apart, all must be equal.
    kinds: dict[str, Kind] = {"c1": "numeric"}
    weighted = learn_or_none(table, weights=weights, kinds=kinds)
    twice = learn_or_none(repeated, kinds=kinds)
    assert weighted == twice


def learn_or_none(table: pa.Table, **options: Any) -> list[Column] | None:
    """Infer a schema without its sentences; None where a number is infinite."""
    try:
        schema = infer_schema(table, **options)
    except SchemaError:
        return None
    return [dataclasses.replace(column, why="") for column in schema.columns]


def test_weights_change_the_missing_rate_and_the_vocabulary() -> None:
    """A weighted row counts as often as its weight says; a weight of 0 is no row."""
    table = to_table({"a": ["x", "y", "", "z"]})
    column = infer_schema(table, weights=[2, 1, 5, 0]).columns[0]

    assert column.missing_frac == 5 / 8
    assert column.vocabulary == ("x",)
    assert column.n_unique == 2


def test_weights_that_are_no_counts() -> None:
    """Weights with fractions weigh the missing rate; in the vocabulary each row counts once."""
    table = to_table({"a": ["x", "x", "y", ""]})
    column = infer_schema(table, weights=[0.001, 0.001, 3.5, 0.002]).columns[0]

    assert column.vocabulary == ("x",)
    assert column.missing_frac == pytest.approx(0.002 / 3.504)


@pytest.mark.parametrize(
    ("cells", "kind", "expected"),
    [
        (["1", "2", "x"], "numeric", {"missing_words": ("x",), "minimum": 1.0, "maximum": 2.0}),
        (["01", "02", "03"], "numeric", {"minimum": 1.0, "maximum": 3.0}),
        ([str(2**70), "1"], "numeric", {"maximum": float(2**70)}),
        (["5", "5", "5"], "numeric", {"minimum": 5.0, "n_unique": 1}),
        (["", "", ""], "numeric", {"minimum": None, "missing_frac": 1.0}),
        (["", "NA", ""], "datetime", {"minimum": None, "missing_frac": 1.0}),
        (["", "", ""], "boolean", {"vocabulary": ("false", "true")}),
        (["", "", ""], "categorical", {"vocabulary": ()}),
        (["1", "0", "1"], "boolean", {"vocabulary": ("false", "true"), "n_unique": 2}),
        (["20240131", "20240201"], "datetime", {"date_format": "YYYYMMDD"}),
        (["1.5", "1.5", "2"], "categorical", {"vocabulary": ("1.5",)}),
        (["1.10", "1.10", "1.1", "1.1"], "categorical", {"vocabulary": ("1.1", "1.10")}),
        (["1", "2"], "ignored", {}),
        (["1", "2"], "text", {}),
        ([2**53 + 1, 2**53 + 1, 7], "categorical", {"vocabulary": (str(2**53 + 1),)}),
        ([1.0, 1.0, 2.5], "categorical", {"vocabulary": ("1",)}),
        ([True, False, True], "numeric", {"minimum": 0.0, "maximum": 1.0}),
        ([True, True, None], "categorical", {"vocabulary": ("true",)}),
        ([20240131, 20240201], "datetime", {"minimum": 1706659200.0}),
        (
            np.array(["2024-01-31", "2024-01-31"], "M8[ns]"),
            "categorical",
            {"vocabulary": ("2024-01-31",)},
        ),
        (list(range(40)), "numeric", {"maximum": 39.0}),
    ],
)
def test_asked_kinds(cells: list[object], kind: Kind, expected: dict[str, object]) -> None:
    """A kind that is asked for wins over every rule, and the sentence says that it was."""
    column = infer_schema(to_table({"a": cells}), kinds={"a": kind}).columns[0]

    assert column.kind == kind
    assert expected == {field: getattr(column, field) for field in expected}
    assert "as requested" in column.why


@pytest.mark.parametrize(
    ("cells", "kind", "says"),
    [
        (list("abcdefg"), "numeric", r"row 1 holds 'a'.*leave out `--kind a=numeric`"),
        (["true", "maybe"], "boolean", "row 2 holds 'maybe'"),
        (["2024-01-31", "31.01.2024"], "datetime", "row 2 holds '31.01.2024'"),
        (["x", "y"], "datetime", "row 1 holds 'x'"),
        ([1, 2], "datetime", "row 1 holds '1'"),
        (np.array(["2024-01-31"], "M8[s]"), "numeric", "must hold numbers as requested.*dates"),
        (["1", "inf"], "numeric", "row 2 holds 'inf'"),
    ],
)
def test_impossible_kinds(cells: list[object], kind: Kind, says: str) -> None:
    """A kind that the cells cannot have is an error with the first cell that is at odds."""
    with pytest.raises(SchemaError, match=says):
        infer_schema(to_table({"a": cells}), kinds={"a": kind})


def test_unknown_kinds() -> None:
    """A kind for a column that is not there, or one that does not exist, names the nearest."""
    table = to_table({"price": [1, 2], "y": [1, 2]})
    with pytest.raises(SchemaError, match=r"named 'prise'.*Did you mean 'price'\?"):
        infer_schema(table, kinds={"prise": "numeric"})
    with pytest.raises(SchemaError, match=r"one of numeric.*Did you mean 'categorical'\?"):
        infer_schema(table, kinds={"price": "categoric"})  # type: ignore[dict-item]
    with pytest.raises(SchemaError, match="none of the 1 feature columns is named 'y'"):
        infer_schema(table, kinds={"y": "numeric"}, skip=["y"])


def test_skip() -> None:
    """Target, group and weight are no features."""
    table = to_table({"a": [1, 2], "b": [1, 3], "y": [0, 1]})

    assert [c.name for c in infer_schema(table, skip={"y"}).columns] == ["a", "b"]


def test_missing_values() -> None:
    """Words that mean "missing" do so in every column, and numbers among them by value."""
    table = to_table(
        {"a": ["-999", "-999.0", "5", "6"], "b": [-999, 5, 6, 7], "c": ["-999", *"xxy"]}
    )
    schema = infer_schema(table, missing_values=["-999"])

    assert [column.missing_frac for column in schema.columns] == [0.5, 0.25, 0.25]
    assert schema.columns[2].vocabulary == ("x",)
    assert schema.missing_values == ("-999",)
    features = encode(table, schema, source="x")
    assert np.isnan(features.x_num).sum() == 3
    assert (features.x_cat == 0).sum() == 1


def test_offset_keeps_differences() -> None:
    """Numbers beyond 2**53 that differ by one still differ, from text and from types."""
    numbers = [1760000000000000000 + step for step in (0, 1, 2, 5)]
    for cells in (numbers, [str(number) for number in numbers]):
        table = to_table({"a": cells})
        schema = infer_schema(table)
        assert schema.columns[0].offset == numbers[0]
        assert encode(table, schema, source="x").x_num[:, 0].tolist() == [0, 1, 2, 5]


def test_no_rows() -> None:
    """There must be a row to learn from."""
    table = to_table({"a": [1, 2]})
    for options in ({"rows": []}, {"weights": [0, 0]}):
        with pytest.raises(SchemaError, match="rows to learn from"):
            infer_schema(table, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"rows": [2]},
        {"rows": [-1]},
        {"weights": [1]},
        {"weights": [1, -1]},
        {"weights": [1, np.nan]},
    ],
)
def test_wrong_arguments(options: dict[str, Any]) -> None:
    """Rows are row numbers, and weights are one a row and at least 0."""
    with pytest.raises(ValueError, match="must be"):
        infer_schema(to_table({"a": [1, 2]}), **options)


def test_many_levels() -> None:
    """Tens of thousands of categories become a vocabulary."""
    cells = [f"level{row % 40_000}" for row in range(100_000)]
    column = infer_schema(to_table({"a": cells})).columns[0]

    assert len(column.vocabulary) == 40_000
    assert list(column.vocabulary) == sorted(column.vocabulary)


def test_rows_are_numbered_as_in_the_table() -> None:
    """Rows in a sentence are those of the table, also when only some are looked at."""
    cells = ["1", "abc", *["2", "3", "4"] * 20, "xyz"]
    column = infer_schema(to_table({"a": cells}), rows=np.arange(2, 63)).columns[0]

    assert "'xyz' (1 cell, first in row 63)" in column.why
    assert column.missing_words == ("xyz",)
