import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from afina.errors import TableError
from afina.table import encode, infer_schema, read_table, to_table

CODES = np.arange(60) % 3
DAYS = [dt.date(2024, 1, 1 + int(code)) for code in CODES]
LEVELS = {
    "whole numbers": (pd.Categorical(CODES * 100 + 7), ("107", "207", "7")),
    "numbers": (pd.Categorical(CODES / 2), ("0", "0.5", "1")),
    "digits": (pd.Categorical(CODES.astype(str)), ("0", "1", "2")),
    "booleans": (pd.Categorical(CODES > 0), ("false", "true")),
    "words for booleans": (pd.Categorical(np.where(CODES > 0, "True", "False")), ("False", "True")),
    "dates": (pd.Categorical(DAYS), ("2024-01-01", "2024-01-02", "2024-01-03")),
    "several types": (pd.Categorical([["a", 1, None][code] for code in CODES]), ("1", "a")),
    "enum": (pl.Series(CODES.astype(str)).cast(pl.Enum(["2", "1", "0"])), ("0", "1", "2")),
    "polars": (pl.Series(CODES.astype(str)).cast(pl.Categorical), ("0", "1", "2")),
    "Arrow": (pa.array(CODES).dictionary_encode(), ("0", "1", "2")),
}


@pytest.mark.parametrize("name", LEVELS)
def test_declared_categories_are_categories(name, tmp_path: Path):
    """A declared category is one whatever its levels look like, in memory and in Parquet."""
    column, vocabulary = LEVELS[name]
    table = to_table({"shop": column})
    schema = infer_schema(table)
    shop = schema.cat_columns[0]

    assert (shop.kind, shop.vocabulary) == ("categorical", vocabulary)
    codes = encode(table, schema, source="table").x_cat[:, 0]
    assert len(set(codes.tolist())) == len(vocabulary) + (name == "several types")
    frame = pd.DataFrame({"shop": column}) if isinstance(column, pd.Categorical) else None
    if frame is not None and name != "several types":  # which no Parquet file holds
        frame.to_parquet(tmp_path / "table.parquet")
        assert infer_schema(read_table(tmp_path / "table.parquet")).cat_columns[0] == shop


@pytest.mark.parametrize("note", [b"no JSON", b"[]", b'{"columns": [1]}', b'{"columns": [{}]}'])
def test_a_strange_note_of_pandas_is_no_declaration(note):
    """A table whose note for pandas holds something else is read as if it had none."""
    table = pa.table({"a": [1, 2]}).replace_schema_metadata({b"pandas": note})

    assert to_table(table).to_pydict() == {"a": [1, 2]}


def test_a_requested_kind_wins_over_the_declaration():
    """Categories of numbers are numbers where the user asks for them."""
    table = to_table(pd.DataFrame({"shop": pd.Categorical(CODES)}))

    assert infer_schema(table, kinds={"shop": "numeric"}).num_names == ("shop",)
    assert infer_schema(table).columns[0].why == "text with 3 levels; declared as categories"


def test_the_declaration_survives_a_choice_of_rows():
    """Training rows alone are seen, and are categories still."""
    table = to_table(pd.DataFrame({"shop": pd.Categorical(CODES), "x": CODES / 7}))

    assert infer_schema(table, rows=np.arange(30), skip=["x"]).cat_names == ("shop",)


def test_categories_of_numbers_are_found_among_numbers():
    """A model that learned categories takes the same codes as plain numbers or as text."""
    schema = infer_schema(to_table({"shop": pd.Categorical(CODES)}))
    plain = [to_table({"shop": cells}) for cells in (CODES, CODES.astype(float), CODES.astype(str))]
    arrays = [encode(table, schema, source="table").x_cat[:, 0] for table in plain]

    for codes in arrays:
        assert codes.tolist() == (CODES + 2).tolist()


@pytest.mark.parametrize("closed", ["left", "right", "both", "neither"])
def test_intervals_are_categories_written_as_pandas_does(closed):
    """Intervals, inside a dictionary or not, become the text that pandas prints."""
    breaks = pd.IntervalIndex.from_breaks([0.0, 0.5, 2.0], closed=closed)
    cells = [breaks[0], None, breaks[1]]
    texts = [None if cell is None else str(cell) for cell in cells]
    for column in (
        pd.Series(pd.arrays.IntervalArray(breaks.take([0, 0, 1]))).where([True, False, True]),
        pd.Series(pd.Categorical(cells, categories=breaks)),
        pd.Series(cells, dtype=object),
    ):
        assert to_table(pd.DataFrame({"band": column}))["band"].to_pylist() == texts


def test_chunks_with_dictionaries_of_their_own_are_joined():
    """Each chunk is read by its own dictionary; none at all is an empty column."""
    chunks = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["b", None]).dictionary_encode()]
    table = pa.table({"c": pa.chunked_array(chunks)})

    assert to_table(table)["c"].to_pylist() == ["a", "b", "b", None]
    assert to_table(table.slice(0, 0))["c"].to_pylist() == []


@pytest.mark.parametrize(
    ("cells", "got"),
    [
        (pd.period_range("2024-01", periods=3, freq="M"), "pandas.period"),
        (pd.Categorical(pd.period_range("2024-01", periods=3, freq="M")), "pandas.period"),
        (pd.Categorical([b"x", b"y", b"x"]), "binary"),
        (pa.array([[1], [2], [1]]), "list"),
    ],
)
def test_what_no_table_holds_is_refused_by_name(cells, got):
    """Periods, bytes and lists are refused with the column's name, inside dictionaries too."""
    data = {"when": cells} if isinstance(cells, pa.Array) else pd.DataFrame({"when": cells})
    with pytest.raises(TableError, match=f"column 'when' must hold .*; got .*{got}"):
        to_table(data)


def test_the_remedy_for_periods_works():
    """Periods as text are a table."""
    frame = pd.DataFrame({"when": pd.period_range("2024-01", periods=3, freq="M")})

    assert to_table(frame.astype(str))["when"].to_pylist() == ["2024-01", "2024-02", "2024-03"]


def test_a_byte_for_a_boolean_is_a_boolean():
    """Arrow's booleans of eight bits are booleans."""
    column = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8()))

    assert to_table(pa.table({"on": column}))["on"].to_pylist() == [True, False, None]
