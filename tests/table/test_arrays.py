import decimal

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from afina.table import (
    fill_masked,
    has_no_names,
    is_lazy,
    is_missing_cell,
    missing_mask,
    to_eager,
    to_table,
)


@pytest.mark.parametrize(
    "data",
    [
        pl.LazyFrame({"a": [1, 2]}),
        nw.from_native(pl.LazyFrame({"a": [1, 2]})),
        pa.record_batch({"a": [1, 2]}),
        pa.RecordBatchReader.from_batches(
            pa.schema([("a", pa.int64())]), [pa.record_batch({"a": [1, 2]})]
        ),
    ],
)
def test_rows_that_are_not_there_yet_are_collected(data):
    """A lazy frame of polars, a batch and a stream of Arrow are tables."""
    assert to_table(data).to_pydict() == {"a": [1, 2]}


def test_other_data_is_passed_on():
    """What is no lazy frame is unchanged; frames that cannot be collected here are told apart."""
    frame = pd.DataFrame({"a": [1]})

    assert to_eager(frame) is frame
    assert fill_masked(frame) is frame
    assert not is_lazy(frame)
    assert is_lazy(nw.from_native(pl.LazyFrame({"a": [1]})))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1.5, 2.5, 3.5]), [1.5, None, 3.5]),
        (np.array([1, 2, 3]), [1.0, None, 3.0]),
        (np.array([2**60 + 1, 2, 3]), [2**60 + 1, None, 3]),
        (np.array([True, False, True]), [1.0, None, 1.0]),
        (np.array(["a", "b", "c"]), ["a", None, "c"]),
        (np.array(["a", 2, None], dtype=object), ["a", None, None]),
    ],
)
def test_masked_cells_are_missing(values, expected):
    """What is masked in an array is missing, and nothing else changes."""
    filled = fill_masked(np.ma.array(values, mask=[False, True, False]))

    assert [None if is_missing_cell(cell) else cell for cell in filled] == expected
    assert type(filled) is np.ndarray
    assert fill_masked(np.ma.array(values)).tolist() == values.tolist()


def test_masked_times_are_missing():
    """What is masked in an array of times is NaT."""
    times = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[D]")

    assert missing_mask(fill_masked(np.ma.array(times, mask=[True, False]))).tolist() == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    "cell",
    [
        *(None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, decimal.Decimal("nan")),
        *(np.datetime64("NaT"), np.timedelta64("NaT"), np.ma.masked),
    ],
)
def test_a_missing_cell(cell):
    """Every value that means "missing" in Python, numpy and pandas is recognized."""
    assert is_missing_cell(cell)
    cells = np.empty(2, dtype=object)
    cells[:] = [cell, 1] if cell is not np.ma.masked else [None, 1]
    assert missing_mask(cells).tolist() == [True, False]


@pytest.mark.parametrize("cell", ["", "nan", 0, 0.0, False, np.float32(1), np.str_("NaT"), b""])
def test_a_cell_that_is_not_missing(cell):
    """Texts and zeros are values."""
    assert not is_missing_cell(cell)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.zeros((2, 2)), True),
        (pd.DataFrame(np.zeros((2, 2))), True),
        (pd.DataFrame(np.zeros((2, 2)), columns=["0", "1"]), False),
        (pl.DataFrame(np.zeros((2, 2))), False),
        ({"a": [1]}, False),
    ],
)
def test_columns_without_names(data, expected):
    """Arrays and frames with numbered columns have no names."""
    assert has_no_names(data) == expected
