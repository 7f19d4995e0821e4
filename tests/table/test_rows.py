"""Row identity: equal rows share a number, groups and times are read as written."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import SchemaError
from afina.table import group_ids, row_ids, time_ranks, to_table
from afina.table import rows as rows_module


def first_seen(rows: list[tuple[object, ...]]) -> list[int]:
    """Number distinct rows by first occurrence, one after the other."""
    numbers: dict[tuple[object, ...], int] = {}
    return [numbers.setdefault(row, len(numbers)) for row in rows]


ROW = st.tuples(
    st.none() | st.integers(-1, 1),
    st.none() | st.sampled_from(["", "a", "b"]),
    st.none() | st.sampled_from([0.5, 1.0]),
    st.none() | st.booleans(),
)


@given(rows=st.lists(ROW, min_size=1, max_size=60))
def test_row_ids(rows: list[tuple[object, ...]]) -> None:
    """Rows get the number of their first equal; missing cells equal each other."""
    table = to_table({f"c{at}": list(cells) for at, cells in enumerate(zip(*rows, strict=True))})

    assert row_ids(table).tolist() == first_seen(rows)


@given(rows=st.lists(ROW, min_size=1, max_size=60))
def test_row_ids_with_colliding_hashes(rows: list[tuple[object, ...]]) -> None:
    """Where all hashes are equal, rows are still told apart."""
    table = to_table({f"c{at}": list(cells) for at, cells in enumerate(zip(*rows, strict=True))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "scramble", lambda values: values * np.uint64(0))
        assert row_ids(table).tolist() == first_seen(rows)


def test_columns_are_not_mixed_up() -> None:
    """The same cells in other columns make another row."""
    assert row_ids(to_table({"a": [0, 1], "b": [1, 0]})).tolist() == [0, 1]


def test_no_columns_of_values() -> None:
    """Rows without any value are all equal."""
    assert row_ids(pa.table({"a": pa.nulls(3)})).tolist() == [0, 0, 0]


def test_group_ids() -> None:
    """Groups are numbered by first row; an empty cell is no group."""
    assert group_ids(pa.chunked_array([["b", "", "a", None, "b"]])).tolist() == [0, -1, 1, -1, 0]
    assert group_ids(to_table({"g": [5, None, 5.0]}).column("g")).tolist() == [0, -1, 0]


@pytest.mark.parametrize(
    "cells",
    [
        ["31.12.2023", "01.01.2024", "31.12.2023"],
        ["2023-12-31", "2024-01-01", "2023-12-31"],
        ["9", "10", "9.0"],
        [str(2**60), str(2**60 + 1), str(2**60)],
        [2**60, 2**60 + 1, 2**60],
        [0.5, 1.5, 0.5],
        np.array([2**60, 2**60 + 1, 2**60], "M8[ns]"),
        np.array([1, 2, 1], "M8[D]"),
    ],
)
def test_time_ranks(cells: object) -> None:
    """Times are ranked by value, to the nanosecond, whatever they are written as."""
    column = to_table({"t": cells}).column("t")

    assert time_ranks(column, name="t", source="x").tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["2024-01-01", ""], "row 2 has none"),
        (["2024-01-01", "NA"], "row 2 has none"),
        ([1.5, None], "row 2 has none"),
        ([1, None], "row 2 has none"),
        (["2024-01-01", "31.12.2024"], "row 2 holds '31.12.2024'"),
        (["a", "b"], "row 1 holds 'a'"),
    ],
)
def test_no_times(cells: list[object], says: str) -> None:
    """A row without a time, or a cell that is none, is named."""
    with pytest.raises(SchemaError, match=f"time column 't' .*{says}"):
        time_ranks(to_table({"t": cells}).column("t"), name="t", source="x")
