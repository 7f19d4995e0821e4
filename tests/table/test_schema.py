"""A schema is written and read back exactly, and hostile files are refused by name."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import AfinaError, CheckpointError
from afina.table import (
    CategoryColumn,
    DateColumn,
    NumberColumn,
    NumberFormat,
    Schema,
    UnusedColumn,
    infer_schema,
    to_table,
)
from afina.table.date.date_format import FORMATS

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
TEXTS = st.lists(TEXT, unique=True, max_size=3).map(tuple)
NUMBER = st.none() | st.floats(allow_nan=False, allow_infinity=False)
SHARED = {
    "name": TEXT,
    "why": TEXT,
    "missing_frac": st.floats(0, 1),
    "n_unique": st.integers(0, 2**40),
}
SPAN = {"minimum": NUMBER, "maximum": NUMBER}
COLUMN = st.one_of(
    st.builds(
        NumberColumn,
        **SHARED,
        **SPAN,
        kind=st.just("numeric"),
        integer=st.booleans(),
        number=st.builds(
            NumberFormat, st.just(","), st.sampled_from(["", ".", " ", "'"]), TEXT, TEXT
        ),
        offset=st.integers(-(2**63), 2**63 - 1),
        missing_words=TEXTS,
    ),
    st.builds(
        CategoryColumn,
        **SHARED,
        kind=st.sampled_from(["categorical", "boolean"]),
        vocabulary=TEXTS,
    ),
    st.builds(
        DateColumn,
        **SHARED,
        **SPAN,
        kind=st.just("datetime"),
        date_format=st.sampled_from(list(FORMATS)),
    ),
    st.builds(UnusedColumn, **SHARED, kind=st.sampled_from(["text", "ignored"])),
)
SCHEMA = st.builds(
    Schema, st.lists(COLUMN, max_size=4, unique_by=lambda column: column.name).map(tuple), TEXTS
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def example() -> dict[str, Any]:
    """Write the schema of a small table."""
    table = {
        "price": ["1.234,5 €", "2 €", "3,5 €"],
        "city": ["x", "y", "x"],
        "day": ["2024-01-31", "2024-02-01", ""],
        "id": [2**60, 2**60 + 5, 2**60 + 7],
    }
    return infer_schema(to_table(table)).to_dict()


@given(schema=SCHEMA)
def test_round_trip(schema: Schema) -> None:
    """Through JSON and back, a schema is the same in every field."""
    text = json.dumps(schema.to_dict(), allow_nan=False)

    assert Schema.from_dict(json.loads(text)) == schema


def test_learned_schema_round_trip() -> None:
    """What is learned from a table comes back too, with its codes."""
    schema = Schema.from_dict(json.loads(json.dumps(example())))

    assert schema.to_dict() == example()
    assert schema.num_names == ("price", "id")
    assert schema.cat_names == ("city",)
    assert schema.time_names == ("day",)
    assert schema.columns[1].codes == {"x": 2}


@given(given_value=JSON)
def test_anything_else_is_refused(given_value: object) -> None:
    """No value of JSON raises anything but an error of ours."""
    try:
        Schema.from_dict(given_value)
    except AfinaError as error:
        assert isinstance(error, CheckpointError)


@given(data=st.data())
def test_a_wrong_field_is_refused(data: st.DataObject) -> None:
    """A field replaced by any other value is refused, or is a sound value of that field."""
    found = example()
    column = data.draw(st.sampled_from(found["columns"]))
    field = data.draw(st.sampled_from(sorted(column)))
    column[field] = data.draw(JSON)

    try:
        schema = Schema.from_dict(found)
    except CheckpointError as error:
        assert field.split(".")[0] in str(error) or "differ" in str(error) or "keys" in str(error)
    else:
        assert json.loads(json.dumps(schema.to_dict(), allow_nan=False)) == found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "number"),
        ("kind", ["numeric"]),
        ("missing_frac", float("nan")),
        ("missing_frac", True),
        ("n_unique", -1),
        ("n_unique", 1.0),
        ("minimum", float("inf")),
        ("minimum", 10**400),
        ("offset", 2**63),
        ("offset", 1.5),
        ("vocabulary", ["a", "a"]),
        ("vocabulary", "ab"),
        ("vocabulary", [1]),
        ("vocabulary", ["a"]),
        ("minimum", True),
        ("integer", 1),
        ("vocabulary", ["\ud800"]),
        ("missing_words", None),
        ("number", None),
        ("number", {"decimal": "."}),
        ("number", {"decimal": ".", "thousands": ".", "prefix": "", "suffix": ""}),
        ("number", {"decimal": "x", "thousands": "", "prefix": "", "suffix": ""}),
        ("number", {"decimal": ".", "thousands": "", "prefix": "$" * 99, "suffix": ""}),
        ("date_format", "%Y"),
        ("date_format", {}),
        ("name", 5),
        ("name", "city"),
    ],
)
def test_hostile_fields(field: str, value: object) -> None:
    """Values that no schema can have are refused, with the column and the field."""
    found = example()
    found["columns"][0][field] = value

    with pytest.raises(CheckpointError, match="schema"):
        Schema.from_dict(found)


@pytest.mark.parametrize("change", ["more", "fewer", "column more", "column fewer", "no list"])
def test_hostile_keys(change: str) -> None:
    """A key too many or too few is refused."""
    found = copy.deepcopy(example())
    if change == "more":
        found["x"] = 1
    elif change == "fewer":
        del found["missing_values"]
    elif change == "column more":
        found["columns"][0]["x"] = 1
    elif change == "column fewer":
        del found["columns"][0]["why"]
    else:
        found["columns"] = {}

    with pytest.raises(CheckpointError, match="schema"):
        Schema.from_dict(found)


def test_the_message_names_file_column_and_key() -> None:
    """Who reads the error knows which file, column and key it is about."""
    content = example()
    content["columns"][3]["offset"] = 2**63

    with pytest.raises(CheckpointError, match=r"^m/schema\.json .* offset of column 4 is invalid"):
        Schema.from_dict(content, "m/schema.json")


def test_a_key_of_another_kind_is_refused() -> None:
    """A value for a key that a column's kind does not use is refused by name."""
    content = example()
    content["columns"][1]["date_format"] = "YYYY-MM-DD"

    with pytest.raises(CheckpointError, match=r"date_format of column 2 is invalid"):
        Schema.from_dict(content)


STORED = r"""{
 "name": "price",
 "kind": "numeric",
 "why": "whole numbers with '\u20ac' at the end, from 2 to 3",
 "missing_frac": 0.0,
 "n_unique": 2,
 "vocabulary": [],
 "minimum": 2.0,
 "maximum": 3.0,
 "integer": true,
 "number": {
  "decimal": ".",
  "thousands": "",
  "prefix": "",
  "suffix": "\u20ac"
 },
 "date_format": null,
 "offset": 0,
 "missing_words": []
}"""


def test_the_form_of_a_column_is_fixed() -> None:
    """schema.json has the same keys in the same order for every column, as models stored it."""
    column = infer_schema(to_table({"price": ["2 €", "3 €"]})).to_dict()["columns"][0]

    assert json.dumps(column, indent=1) == STORED
    assert all(list(other) == list(column) for other in example()["columns"])
