"""Frames, arrays and mappings become tables of few types; the same content, the same schema."""

import datetime as dt
import decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from afina.errors import TableError
from afina.table import encode, infer_schema, read_table, to_table

N_ROWS = 60


def content() -> dict[str, list[object]]:
    """Make columns of every kind, with missing cells."""
    rows = range(N_ROWS)
    day = dt.datetime(2024, 1, 31, 10, 30)  # noqa: DTZ001 - tables hold times without a zone
    return {
        "whole": [row * 3 % 17 for row in rows],
        "holes": [None if row % 5 == 0 else row / 8 for row in rows],
        "city": [None if row % 7 == 0 else ["Rome", "Oslo", "NA"][row % 3] for row in rows],
        "code": [f"0{row % 4}" for row in rows],
        "yes": [row % 2 == 0 for row in rows],
        "when": [day + dt.timedelta(days=row, seconds=row * 7) for row in rows],
        "long": [2**60 + row * row for row in rows],
        "name": [f"name{row}" for row in rows],
        "empty": [None] * N_ROWS,
        "same": ["x"] * N_ROWS,
        "row": list(rows),
    }


class Query:
    """A frame of another library that holds no rows yet."""

    def collect(self) -> None:
        """Do nothing."""


def test_same_content_same_schema(tmp_path: Path) -> None:
    """CSV, Parquet, pandas, polars, Arrow and mappings of one content give one schema."""
    frame = pl.DataFrame(content())
    frame.write_csv(tmp_path / "table.csv", datetime_format="%Y-%m-%d %H:%M:%S")
    frame.write_parquet(tmp_path / "table.parquet")
    tables = {
        "polars": to_table(frame),
        "csv": read_table(tmp_path / "table.csv"),
        "parquet": read_table(tmp_path / "table.parquet"),
        "pandas": to_table(pd.DataFrame(content(), index=range(5, 5 + N_ROWS))),
        "pandas objects": to_table(pd.DataFrame(content(), dtype=object)),
        "pandas categories": to_table(pd.DataFrame(content()).astype({"city": "category"})),
        "pandas from Arrow": to_table(frame.to_pandas(use_pyarrow_extension_array=True)),
        "Arrow": to_table(frame.to_arrow()),
        "mapping": to_table(content()),
    }
    schemas = {name: infer_schema(table) for name, table in tables.items()}
    features = {name: encode(tables[name], schemas[name], source=name) for name in tables}

    kinds = {column.name: column.kind for column in schemas["csv"].columns}
    assert kinds == {
        "whole": "numeric",
        "holes": "numeric",
        "city": "categorical",
        "code": "categorical",
        "yes": "boolean",
        "when": "datetime",
        "long": "numeric",
        "name": "ignored",
        "empty": "ignored",
        "same": "ignored",
        "row": "ignored",
    }
    for name in tables:
        assert schemas[name] == schemas["csv"], name
        for array in ("x_num", "x_cat", "x_time"):
            expected = getattr(features["csv"], array)
            np.testing.assert_array_equal(getattr(features[name], array), expected)


def test_numpy() -> None:
    """Columns of an array are named x0, x1, ...; NaN is missing."""
    table = to_table(np.array([[1.0, np.nan], [2.0, 3.5]]))

    assert table.to_pydict() == {"x0": [1.0, 2.0], "x1": [None, 3.5]}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.uint64, bool, ">f8", "<U3"])
def test_numpy_types(dtype: object) -> None:
    """Arrays of every plain type are taken, in any memory order."""
    array = np.asfortranarray(np.array([[1, 0], [0, 1], [1, 1]], dtype=dtype))[::-1]

    assert to_table(array).shape == (3, 2)


def test_objects_of_several_types() -> None:
    """Cells of several types become text; whole floats lose their point, None is missing."""
    cells = ["x", 1.0, 2.5, None, float("nan"), True, 2**70, np.int64(3), decimal.Decimal("1.50")]
    table = to_table(np.array([[cell, 1] for cell in cells], dtype=object))

    expected = ["x", "1", "2.5", None, None, "true", str(2**70), "3", "1.50"]
    assert table.column("x0").to_pylist() == expected


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (np.array([[1j]]), "Complex data not supported"),
        ({"a": np.array([1j])}, "Complex data not supported"),
        (np.ones(3), r"two dimensions.*reshape"),
        (np.ones((3, 0)), "two dimensions"),
        (np.array([[{"x": 1}], ["y"]], dtype=object), "row 1 holds a value of type dict"),
        ([1, 2], "got a list"),
        ("table.csv", "got a str"),
        (None, "got a NoneType"),
        (Query(), "got a Query. Collect it first"),
        ({}, "must have columns"),
        ({"a": [1], "b": [1, 2]}, "same length"),
        ({"a": "xy"}, "must be a sequence"),
        ({"a": 1}, "must be a sequence"),
        ({"a": np.ones((2, 2))}, "one dimension"),
        ({"a": [b"x"]}, "'a'.*binary"),
        ({"a": [[1]]}, "'a'.*list"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' appears more than once"),
        (pd.DataFrame({"a": pd.period_range("2024", periods=2, freq="M")}), "'a'.*period"),
        (pl.DataFrame({"a": [[1], [2]]}), "'a'.*list"),
        (pa.table({"": [1]}), "column 1 of 1"),
    ],
)
def test_no_table(data: object, says: str) -> None:
    """What is no table is refused by name."""
    with pytest.raises(TableError, match=says):
        to_table(data)


def test_names_are_text() -> None:
    """Column numbers of pandas become text."""
    assert to_table(pd.DataFrame([[1, 2]])).column_names == ["0", "1"]


def test_batch_and_types() -> None:
    """Types that Arrow keeps apart come together; nothing is rounded on the way."""
    batch = pa.record_batch(
        {
            "view": pa.array(["x", None], pa.string_view()),
            "dictionary": pa.array([5, 7]).dictionary_encode(),
            "decimal": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(38, 2)),
            "time": pa.array([1, 2], pa.time64("us")),
            "half": pa.array(np.array([0.5, np.nan], np.float16)),
        }
    )

    assert to_table(batch).to_pydict() == {
        "view": ["x", None],
        "dictionary": [5, 7],
        "decimal": ["1.50", None],
        "time": [1e-6, 2e-6],
        "half": [0.5, None],
    }


def test_wide_integers_of_polars() -> None:
    """A type that Arrow lacks is written as text, digit by digit."""
    frame = pl.DataFrame({"a": pl.Series([1, 2**100], dtype=pl.Int128)})

    assert to_table(frame).to_pydict() == {"a": ["1", str(2**100)]}
