"""Cells become numbers and codes by the schema; what does not fit is named."""

import re
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import AfinaWarning, SchemaError
from afina.table import FIRST_LEVEL, Features, Kind, Schema, encode, infer_schema, to_table

TRAIN = to_table(
    {
        "price": ["1.234,5 €", "2 €", "NA", "7"] * 10,
        "size": [1.5, 2.0, None, 4.0] * 10,
        "zip": ["01234", "12345", "", "NA"] * 10,
        "open": ["true", "FALSE", "", "true"] * 10,
        "day": ["31.01.2024", "01.02.2024", "-", ""] * 10,
        "id": [f"id{row}" for row in range(40)],
    }
)
SCHEMA = infer_schema(TRAIN)


def one(schema: Schema = SCHEMA, **cells: object) -> Features:
    """Encode one row; cells not given are missing."""
    names = {name for column in schema.columns if (name := column.name) != "id"}
    table = {name: [cells.get(name)] for name in names}
    return encode(to_table(table), schema, source="new.csv")


def learn(cells: object, kind: Kind | None = None) -> Schema:
    """Infer the schema of one column `a`."""
    return infer_schema(to_table({"a": cells}), kinds={"a": kind} if kind else {}, min_count=1)


def code(schema: Schema, cell: object) -> int:
    """Encode one cell of the only column, a category."""
    return int(encode(to_table({"a": [cell]}), schema, source="new").x_cat[0, 0])


def number(schema: Schema, cell: object) -> float:
    """Encode one cell of the only column, a number."""
    return float(encode(to_table({"a": [cell]}), schema, source="new").x_num[0, 0])


def test_arrays() -> None:
    """Columns stand by kind in schema order; 0 is missing, 1 unknown; NaN is missing."""
    features = encode(TRAIN, SCHEMA, source="x")

    nan = np.nan
    np.testing.assert_array_equal(features.x_num[:4], [[1234.5, 1.5], [2, 2], [nan, nan], [7, 4]])
    np.testing.assert_array_equal(features.x_cat[:4], [[2, 3], [3, 2], [0, 0], [4, 3]])
    np.testing.assert_array_equal(features.x_time[:4, 0], [1706659200, 1706745600, nan, nan])
    assert (features.x_num.dtype, features.x_cat.dtype) == (np.float64, np.int64)
    assert SCHEMA.num_names == ("price", "size")
    assert SCHEMA.cat_names == ("zip", "open")


def test_order_of_columns_does_not_matter() -> None:
    """Columns are found by name."""
    turned = TRAIN.select(TRAIN.column_names[::-1])

    for array in ("x_num", "x_cat", "x_time"):
        expected = getattr(encode(TRAIN, SCHEMA, source="x"), array)
        np.testing.assert_array_equal(getattr(encode(turned, SCHEMA, source="x"), array), expected)


def test_a_row_alone_is_the_row_among_others() -> None:
    """What a row becomes does not depend on its neighbours."""
    together = encode(TRAIN, SCHEMA, source="x")
    for row in range(4):
        alone = encode(TRAIN.slice(row, 1), SCHEMA, source="x")
        np.testing.assert_array_equal(alone.x_num[0], together.x_num[row])
        np.testing.assert_array_equal(alone.x_cat[0], together.x_cat[row])
        np.testing.assert_array_equal(alone.x_time[0], together.x_time[row])


def test_no_rows() -> None:
    """No rows give empty arrays of the right width."""
    features = encode(TRAIN.slice(0, 0), SCHEMA, source="x")

    assert (features.x_num.shape, features.x_cat.shape) == ((0, 2), (0, 2))


def test_ignored_columns_need_not_be_there() -> None:
    """A column that was ignored may be missing, and is no extra one when it is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode(TRAIN.drop_columns("id"), SCHEMA, source="x")
        encode(TRAIN, SCHEMA, source="x")


def test_missing_column() -> None:
    """A column that is not there is an error with the nearest name that is."""
    table = TRAIN.rename_columns(["Price ", *TRAIN.column_names[1:]])
    says = r"new\.csv must have .*'price' is missing\. Did you mean 'Price '\?"
    with pytest.raises(SchemaError, match=says):
        encode(table, SCHEMA, source="new.csv")

    many = Schema(tuple(infer_schema(to_table({f"c{n}": [1, 2]})).columns[0] for n in range(8)))
    with pytest.raises(SchemaError, match=r"'c0', .*'c4' and 3 more are missing\."):
        encode(to_table({"x": [1]}), many, source="x")


def test_extra_columns() -> None:
    """Extra columns are named in one warning; in tolerant mode they are passed over."""
    extra = TRAIN.append_column("more", pa.array([1] * 40)).append_column("x", pa.array([1] * 40))
    with pytest.warns(AfinaWarning, match=r"new\.csv: 'more', 'x' were not in") as seen:
        encode(extra, SCHEMA, source="new.csv")
    assert len(seen) == 1

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encode(extra, SCHEMA, source="new.csv", tolerant=True)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (
            {"price": "1,234.5 €"},
            r"new\.csv: column 'price' must hold numbers with decimal comma.* row 1 holds '1,234\.5 €'",
        ),
        ({"size": "big"}, "column 'size' must hold numbers, but row 1 holds 'big'"),
        ({"size": "1,5"}, "row 1 holds '1,5'"),
        ({"size": "inf"}, "row 1 holds 'inf'"),
        ({"size": float("-inf")}, "row 1 is infinite"),
        ({"size": "1e999"}, "row 1 is infinite"),
        ({"day": "2024-01-31"}, "column 'day' must hold dates written DD.MM.YYYY"),
        ({"day": "31.02.2024"}, "row 1 holds '31.02.2024'"),
        ({"day": 5}, "column 'day' must hold dates.*numbers"),
        ({"size": np.datetime64("2024-01-31", "s")}, "column 'size' must hold numbers.*dates"),
    ],
)
def test_cells_that_do_not_fit(cells: dict[str, object], says: str) -> None:
    """A cell that is no number or date is named with source, column, row and itself."""
    with pytest.raises(SchemaError, match=says):
        one(**cells)


def test_several_bad_cells() -> None:
    """The first bad cell is shown, and how many more there are."""
    table = to_table({"a": ["1", "x", "", "y", "2", "z"]})
    with pytest.raises(SchemaError, match=re.escape("row 2 holds 'x' (and 2 cells more)")):
        encode(table, learn(["1", "2", "3"]), source="new")


def test_tolerant() -> None:
    """A few cells that do not parse become missing, and a note says which; many are an error."""
    schema = learn([str(value) for value in range(2, 50)])
    cells = [str(value) for value in range(100)]
    cells[7], cells[50] = "abc", "def"
    features = encode(to_table({"a": cells}), schema, source="val", tolerant=True)

    assert np.flatnonzero(np.isnan(features.x_num[:, 0])).tolist() == [7, 50]
    assert len(features.notes) == 1
    assert "'a': 2 cells treated as missing" in features.notes[0]
    assert "row 8 holds 'abc'" in features.notes[0]

    for bad in (["abc"] * 6, ["inf"]):
        with pytest.raises(SchemaError, match="must hold numbers"):
            encode(to_table({"a": [*cells, *bad]}), schema, source="val", tolerant=True)


@pytest.mark.parametrize(
    ("learned", "cell", "expected"),
    [
        (["1", "2"], 1, 2),
        (["1", "2"], 1.0, 2),
        (["1", "2"], "1.0", 2),
        (["1", "2"], "+1", 2),
        (["1", "2"], True, 2),
        (["1", "2"], "01", 1),
        (["1.0", "2.0"], 1, 2),
        (["1.0", "1"], "1", 2),
        (["1.0", "1"], "1.0", 3),
        (["1.0", "1"], 1, 2),
        (["1.10", "1.1"], "1.10", 3),
        (["1.10", "1.2"], 1.1, 2),
        (["01", "02"], "01", 2),
        ([2**53 + 1, 2**53], 2**53 + 1, 3),
        ([2**53 + 1, 2**53], str(2**53 + 1), 3),
        ([0.1, 2.0], "0.1", 2),
        ([0.1, 2.0], "2", 3),
        (["true", "x"], True, 2),
        (["True", "x"], True, 2),
        (["x", "y"], " x", 1),
        (["x", "y"], "X", 1),
        (["x", "y"], "", 0),
        (["x", "y"], None, 0),
        (["x", "y"], "NA", 1),
        (["x", "NA"], "NA", 2),
        (["é", "ü"], "é", 2),
    ],
)
def test_levels_meet(learned: list[object], cell: object, expected: int) -> None:
    """Exact text first; then equal numbers and equal booleans match, codes never."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AfinaWarning)
        assert code(learn(learned, "categorical"), cell) == expected


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("TRUE", 3), (" false", 2), (True, 3), (0, 2), (1.0, 3), ("1", 3), ("NA", 0), ("maybe", 1)],
)
def test_booleans(cell: object, expected: int) -> None:
    """Truth is recognized in words, types and numbers."""
    assert code(learn(["true", "False", "true"]), cell) == expected


@given(value=st.integers(-(2**63), 2**63 - 1), first=st.integers(-(2**63), 2**63 - 1))
def test_offset_is_exact(value: int, first: int) -> None:
    """The offset is subtracted in whole numbers, for text and types; in floats beyond 64 bits."""
    schema = learn([str(first), str(first + 1 if first < 2**62 else first - 1)], "numeric")
    offset = schema.columns[0].offset
    difference = float(value - offset)
    if not -(2**63) <= value - offset < 2**63:
        difference = float(value) - float(offset)
    for cell in (value, str(value), f"{value}.0"):
        assert number(schema, cell) == difference


@pytest.mark.parametrize(
    ("learned", "cell", "expected"),
    [
        (["1,5", "2,5"], 3.25, 3.25),
        (["1,5", "2,5"], "3", 3),
        (["1.5", "2.5"], "007", 7),
        (["1.5", "2.5"], "NA", np.nan),
        (["1.5", "2.5"], "  ", np.nan),
        (["1.5", "2.5"], True, 1),
        ([1, 0, None], "1", 1),
        ([1.5, 2.5], 2**64 - 1, 2.0**64),
        ([2**60, 2**60 + 1], 2**64 - 1, 2.0**64 - 2**60),
        ([2**60, 2**60 + 1], 0.5, 0.5 - 2.0**60),
    ],
)
def test_numbers_meet(learned: list[object], cell: object, expected: float) -> None:
    """Text and types of one value give one number."""
    schema = learn(learned)

    np.testing.assert_equal(number(schema, cell), float(expected))


def test_offsets_do_not_depend_on_neighbours() -> None:
    """A fraction in another row takes nothing from a long number's last digit."""
    schema = learn([2**60, 2**60 + 7])
    for table in ({"a": [str(2**60 + 1), "0.5"]}, {"a": [str(2**60 + 1), str(2**70)]}):
        assert encode(to_table(table), schema, source="x").x_num[0, 0] == 1


def test_dates_with_and_without_offset() -> None:
    """Instants with an offset do not meet times without one."""
    naive = learn(["2024-01-31 10:00", "2024-02-01 10:00"])
    zoned = learn(["2024-01-31 10:00Z", "2024-02-01 10:00+01:00"])
    typed = pa.table({"a": pa.array([0], pa.timestamp("s", "UTC"))})

    assert encode(typed, zoned, source="x").x_time[0, 0] == 0
    with pytest.raises(SchemaError, match="without an offset"):
        encode(typed, naive, source="x")
    with pytest.raises(SchemaError, match="with an offset"):
        encode(pa.table({"a": pa.array([0], pa.timestamp("s"))}), zoned, source="x")


def test_lost_zeros_are_told() -> None:
    """Codes that came as numbers, and so lost their zeros, are unknown: a warning says so."""
    schema = learn(["01234", "02345"])
    with pytest.warns(
        AfinaWarning,
        match=r"1 cell of column 'a' has lost leading zeros, such as '1234' for '01234'",
    ):
        assert code(schema, 1234) == 1


def test_all_missing() -> None:
    """A column without a value is missing throughout, whatever its type."""
    nothing = to_table({name: [None, None] for name in TRAIN.column_names})
    features = encode(nothing, SCHEMA, source="x")

    assert np.isnan(features.x_num).all()
    assert (features.x_cat == 0).all()
    assert np.isnan(features.x_time).all()


@given(cells=st.lists(st.text(max_size=4) | st.none(), min_size=1, max_size=30), data=st.data())
def test_any_text(cells: list[str | None], data: st.DataObject) -> None:
    """Whatever text comes, codes are within the vocabulary and numbers are finite or missing."""
    kinds: list[Kind | None] = [None, "categorical"]
    try:
        schema = learn(cells, data.draw(st.sampled_from(kinds)))
    except SchemaError:
        return
    other: list[Any] = data.draw(
        st.lists(st.sampled_from(cells) | st.text(max_size=4), max_size=30)
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AfinaWarning)
            features = encode(to_table({"a": other}), schema, source="x")
    except SchemaError:
        return
    assert not np.isinf(features.x_num).any()
    for place, column in enumerate(schema.cat_columns):
        assert features.x_cat[:, place].min(initial=0) >= 0
        assert features.x_cat[:, place].max(initial=0) < len(column.vocabulary) + FIRST_LEVEL
