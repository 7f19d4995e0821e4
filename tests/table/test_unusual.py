"""Cells to predict that are unlike all training rows."""

import numpy as np
import pyarrow as pa
import pytest

from afina.errors import AfinaWarning
from afina.table import encode, infer_schema, to_table, unusual_notes

COLORS = ["red", "green"] * 30
TRAIN = {
    "color": COLORS,
    "size": np.linspace(10, 20, 60),
    "day": np.arange("2024-01-01", "2024-03-01", dtype="M8[D]")[:60],
    "big": np.arange(2**60, 2**60 + 120, 2),
}


def notes(rows: dict[str, list]) -> list[str]:
    """Encode rows and return what is said about them; other columns are as in training."""
    n_rows = len(next(iter(rows.values())))
    usual = {name: cells[:n_rows] for name, cells in TRAIN.items()}
    table = to_table({**usual, **rows})
    schema = infer_schema(to_table(TRAIN))
    return unusual_notes(table, schema, encode(table, schema, source="new.csv"))


def test_a_new_level() -> None:
    """Cells with an unknown level are counted, and the first is quoted; missing ones are not."""
    [note] = notes({"color": ["red", "blue", None, "pink", "blue"]})

    assert note == (
        "column 'color': 3 cells with a value that the model does not know, such as 'blue' "
        "(row 2); treated as unknown"
    )


@pytest.mark.parametrize(
    ("name", "near", "far", "says"),
    [
        ("size", [0.1, 29.9, None], [15, 1e12], "(10 to 20), such as 1000000000000.0 (row 2)"),
        ("size", [20.0, 10.0], [-5, 15], "(10 to 20), such as -5 (row 1)"),
        ("big", [2**60 + 100], [2**60, 2**61], "such as 2305843009213693952 (row 2)"),
        (
            "day",
            [np.datetime64("2024-04-15")],
            [np.datetime64("2024-01-01"), np.datetime64("2090-01-01")],
            "(2024-01-01 to 2024-02-29), such as '2090-01-01' (row 2)",
        ),
    ],
)
def test_far_numbers_and_dates(name: str, near: list, far: list, says: str) -> None:
    """A value more than the whole range away is told, a nearer one is not."""
    assert notes({name: near}) == []
    [note] = notes({name: far})
    assert note.startswith(
        f"column {name!r}: 1 cell far outside the range that the model learned from ("
    )
    assert says in note


def test_rare_levels_are_no_news() -> None:
    """Where training had levels too rare to learn, a few unknown cells are told nothing."""
    schema = infer_schema(to_table({"c": ["a", "b"] * 20 + ["once"]}))

    def said(cells: list[str]) -> list[str]:
        table = to_table({"c": cells})
        return unusual_notes(table, schema, encode(table, schema, source="new"))

    assert said(["a", "b"] * 20 + ["once"]) == []
    assert len(said(["a", "once"])) == 1


def test_many_columns_are_counted() -> None:
    """Five columns are named, the others are counted."""
    train = {f"c{n}": ["a", "b"] * 20 for n in range(8)}
    schema = infer_schema(to_table(train))
    new = to_table({name: ["a", "z"] for name in train})

    said = unusual_notes(new, schema, encode(new, schema, source="new"))

    assert len(said) == 6
    assert said[-1] == "and 3 more columns like it"


def test_what_a_warning_has_said_is_not_repeated() -> None:
    """Where all values are unknown, or have lost their zeros, `encode` warns, and that is enough."""
    schema = infer_schema(to_table({"zip": ["01234", "02345", "10001"] * 10}))
    for cells in ([1234, 10001], ["1234", "10001"]):
        table = to_table({"zip": cells})
        with pytest.warns(AfinaWarning, match="has lost leading zeros, such as '1234' for '01234'"):
            features = encode(table, schema, source="new.csv")
        assert unusual_notes(table, schema, features) == []


def test_rows_without_a_fault_cost_one_look() -> None:
    """Rows as in training are told nothing."""
    assert notes({"color": COLORS[:20]}) == []
    assert (
        unusual_notes(pa.table({"a": [1]}), infer_schema(to_table({"a": [1, 2]})), _one(1.0)) == []
    )


def _one(value: float):
    schema = infer_schema(to_table({"a": [1, 2]}))
    return encode(to_table({"a": [value]}), schema, source="new")
