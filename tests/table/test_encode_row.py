"""A row alone is encoded as a table of one row is, bit for bit, or left to the table's way."""

import copy
import datetime as dt
import decimal
import enum
import pickle
import uuid
import warnings
from collections import defaultdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from afina.errors import AfinaError
from afina.table import (
    CategoryColumn,
    Column,
    DateColumn,
    Features,
    NumberColumn,
    NumberFormat,
    RowEncoder,
    Schema,
    UnusedColumn,
    encode,
    only_row,
    single_cell,
    to_table,
)
from afina.table.category import UNKNOWN, category_column
from afina.table.category.category_column import CategoryReader
from afina.table.date import date_column
from afina.table.date.date_format import FORMATS, parse_date, parse_dates
from afina.table.numeric import number_column
from afina.table.numeric.number_format import PLAIN, parse_number, parse_numbers

BIG = 1_700_000_000_000_000_000
NUMBER_FORMATS = (
    PLAIN,
    NumberFormat(",", "."),
    NumberFormat(".", ","),
    NumberFormat(",", " ", "", "€"),
    NumberFormat(".", "'", "Fr.", ""),
    NumberFormat(".", "", "", "%"),
    NumberFormat(",", ".", "R$", "R$"),
)
VOCABULARIES = (
    ("01", "1", "2.5", "NA", "a b", "ä", "☃"),
    ("True", "false"),
    ("0", "1"),
    ("-0.0", "1.0", "1e3", "9007199254740993"),
    (),
)
NUMBERS = [
    NumberColumn("a", "numeric", "", number=form, offset=offset, missing_words=words)
    for form in NUMBER_FORMATS
    for offset, words in ((0, ("n.a.", " x")), (BIG, ()), (-(2**62), ("k",)), (7, ()))
]
CATEGORIES = [CategoryColumn("a", "categorical", "", vocabulary=words) for words in VOCABULARIES]
TRUTHS = [CategoryColumn("a", "boolean", "", vocabulary=("false", "true"))]
DATES = [DateColumn("a", "datetime", "", date_format=form) for form in FORMATS]
MISSING_VALUES = ((), ("-999",), ("missing", "1", " x "), ("true", "2.50", "2024-01-02", ""))


class Color(str, enum.Enum):  # noqa: UP042 - an old one, as tables of the world hold
    """A text that is more than text."""

    RED = "red"


columns = st.sampled_from([*NUMBERS, *CATEGORIES, *TRUTHS, *DATES])
spaces = st.sampled_from(
    ["", "", "", " ", "\t", "\u00a0", "\u2009", "\u202f", "\n", "\x1f", "\u200b"]
)
words = st.sampled_from(
    [
        "",
        "NA",
        "n.a.",
        "x",
        "k",
        "missing",
        "-",
        ".",
        "?",
        "None",
        "nan",
        "inf",
        "-Infinity",
        "true",
        "FALSE",
        "True",
        " x ",
        "yes",
        "01",
        "1",
        "1.0",
        "ä",
        "☃",
        "a b",
        "�",
        "-999",
        "-999.0",
        "1e400",
        "-1e400",
        "1e-400",
        "0x10",
        "1_000",
        "٣",
        "²",
        "1" * 400,
        "0" * 45 + "5",
        "\x00",
    ]
)
digits = st.sampled_from(
    [
        "0",
        "7",
        "12",
        "007",
        "123",
        "1234",
        "1.234",
        "1,234",
        "1 234",
        "1\xa0234",
        "1'234",
        "1’234",
        "12,34",
        "1.5",
        "1,5",
        ".5",
        ",5",
        "5.",
        "5,",
        "1.234,5",
        "1,234.5",
        "1 234,5",
        "1'234.5",
        str(BIG),
        str(BIG + 1),
        f"{BIG}.0",
        str(2**63 - 1),
        str(2**63),
        str(-(2**62)),
        "1e3",
        "1E-2",
        "999.0",
        "0.1",
        "1e308",
        "0.0000000000000000000000000000000000000000001",
        "123456789.123456789",
    ]
)
signs = st.sampled_from(["", "", "", "-", "+", "\u2212", "- ", "+-"])
affixes = st.sampled_from(["", "", "", "€", "Fr.", "%", "R$", "$"])
number_texts = st.builds(
    "".join, st.tuples(spaces, signs, affixes, spaces, signs, digits, spaces, affixes, spaces)
) | st.builds(str, st.floats() | st.integers(-(2**70), 2**70))
date_texts = st.builds(
    lambda parts, mark, clock, space: space + mark.join(map(str, parts)) + clock + space,
    st.tuples(*[st.sampled_from(["1", "02", "2", "29", "30", "31", "12", "13", "2023", "2024", "0000", "9999"])] * 3),
    st.sampled_from(["-", "/", ".", ""]),
    st.sampled_from(
        ["", " 10:20", "T23:59:59", " 00:00:00.5", " 12:00:00.123456789", " 24:00", " 10:60", "T10:20Z", " 10:20+02", " 10:20 -0530", "T10:20:30.25+24:00", " 10:20+00:60", " 1:2"]
    ),
    spaces,
)  # fmt: skip
moments = st.datetimes() | st.dates() | st.datetimes(timezones=st.just(dt.UTC))
scalars = st.builds(
    lambda kind, value: kind(value),
    st.sampled_from([np.int8, np.uint8, np.int64, np.uint64, np.float32, np.float64, np.bool_, np.str_]),
    st.sampled_from([0, 1, 2, 100]),
)  # fmt: skip
integers = st.sampled_from(
    [0, 1, -1, 2**53 + 1, BIG, 2**63 - 1, -(2**63), 2**63, 2**64, -999, 20240102]
)
floats = st.floats() | st.sampled_from([-0.0, 0.0, 1.0, 2.5, 1e300, float(2**63), -999.0, 0.1])
strangers = st.sampled_from(
    [
        b"x",
        [1],
        (1,),
        {"a": 1},
        {1},
        decimal.Decimal("1.5"),
        decimal.Decimal("NaN"),
        1j,
        Color.RED,
        pd.NaT,
        pd.NA,
        pd.Timestamp(2024, 1, 2),
        np.datetime64("2024-01-02"),
        dt.time(1, 2),
        dt.timedelta(1),
        uuid.UUID(int=1),
        np.float16(0.1),
        np.longdouble(1),
        np.array([1.0]),
        object(),
    ]
)
texts = words | number_texts | date_texts | st.text(max_size=6)
cells = texts | st.none() | st.booleans() | integers | floats | moments | scalars | strangers


def as_table(row: dict[str, object], schema: Schema) -> Features | str:
    """Encode a table of one row; or say what kind of error or warning came."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return encode(
                to_table({name: [cell] for name, cell in row.items()}), schema, source="x"
            )
    except (
        AfinaError,
        UserWarning,
        ValueError,
        pa.ArrowException,
        OverflowError,
        TypeError,
    ) as error:
        return type(error).__name__


def disagreement(row: dict[str, object], schema: Schema) -> str:
    """Say where a row alone differs from the table; empty where they agree, or it is left to it."""
    found = RowEncoder(schema).encode(row)
    if found is None:
        return ""
    wanted = as_table(row, schema)
    if isinstance(wanted, str):
        return f"{row} is answered in place of a {wanted}"
    for name in ("x_num", "x_cat", "x_time"):
        one, other = getattr(found, name), getattr(wanted, name)
        if (one.dtype, one.shape) != (other.dtype, other.shape):
            return f"{row}: {name} is {one!r}, not {other!r}"
        both = np.isnan(one) & np.isnan(other)  # the bits of NaN say nothing
        if one[~both].tobytes() != other[~both].tobytes():
            return f"{row}: {name} is {one!r}, not {other!r}"
    return ""


@settings(max_examples=2000)
@given(columns, cells, st.sampled_from(MISSING_VALUES))
@example(NumberColumn("a", "numeric", "", number=PLAIN, offset=7), "1" * 20 + ".0", ())
@example(CategoryColumn("a", "categorical", "", vocabulary=("1", "x")), -0.0, ())
def test_a_cell_is_encoded_as_in_a_table(
    column: Column, cell: object, missing_values: tuple[str, ...]
) -> None:
    """Whatever column and cell: the same bits as a table of one row, or nothing."""
    assert disagreement({"a": cell}, Schema((column,), missing_values)) == ""


ORDINARY = [
    (NUMBERS[0], [1, 2.5, True, None, float("nan"), "3", " 4.5 ", "NA", "", "+1e3", np.int64(3)]),
    (NUMBERS[1], [BIG + 1, float(BIG), str(BIG + 1), f"{BIG + 1}.0", "", None]),
    (NUMBERS[12], ["1 234,5 €", "- 7", "2\u00a0000", "n/a" * 0, 3]),
    (CATEGORIES[0], ["01", "1.0", "never seen", "ä", 1, 2.5, True, None, float("nan"), ""]),
    (CATEGORIES[1], [True, False, "true"]),
    (TRUTHS[0], [True, 0, 1.0, "FALSE", " true ", "maybe", None, "NA"]),
    (
        DATES[0],
        ["2024-02-29", "2024-2-9 10:20", "NA", None, dt.date(2024, 1, 2), dt.datetime(2024, 1, 2)],  # noqa: DTZ001
    ),
    (DATES[1], ["2024-02-29T10:20:30.5+02:00", "2024-01-02 10:20Z", ""]),
]


@pytest.mark.parametrize(("column", "ordinary"), ORDINARY)
def test_ordinary_cells_take_the_short_way(column: Column, ordinary: list[object]) -> None:
    """Numbers, text, booleans, dates and missing cells need no table."""
    encoder = RowEncoder(Schema((column,)))

    assert [] == [cell for cell in ordinary if encoder.encode({"a": cell}) is None]


FAULTS = [
    (
        number_column,
        "parse_number",
        lambda text, form: (float(text), text) if text.isdecimal() else None,
    ),
    (
        number_column,
        "nan_if_missing",
        lambda text, words: single_cell.nan_if_missing(text, frozenset("x")),
    ),
    (date_column, "typed_second", lambda moment: float(moment.toordinal())),
    (CategoryReader, "_code", lambda reader, text: reader.codes.get(text, UNKNOWN)),
    (CategoryReader, "_code", lambda reader, text: 3 if text == "true" else 2),
    (category_column, "is_encodable", lambda text: True),
    (single_cell, "LIMIT", 2**70),
]


@pytest.mark.parametrize(("place", "name", "fault"), FAULTS)
def test_a_fault_is_seen(
    place: object, name: str, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a fault seeded into a part of the short way, some cell differs from the table's."""
    odd = ["1.00", "TRUE", "x", "007", "1234", "٣", "\ud800", 2**63, dt.date(2024, 1, 2)]
    monkeypatch.setattr(place, name, fault)
    some = (*NUMBERS[::4], *CATEGORIES, *TRUTHS, *DATES)

    assert any(disagreement({"a": cell}, Schema((column,))) for column in some for cell in odd)


def three() -> Schema:
    """Return a schema of three columns, one of which is not used."""
    return Schema(
        (
            NumberColumn("size", "numeric", "", number=PLAIN),
            CategoryColumn("color", "categorical", "", vocabulary=("blue", "red")),
            UnusedColumn("name", "ignored", ""),
        )
    )


names = st.sampled_from(["size", "color", "name", "y", "other", "", 1])


@given(st.dictionaries(names, cells, max_size=6))
def test_a_row_is_encoded_as_in_a_table(row: dict[str, object]) -> None:
    """Columns too few or too many, used or not: the same bits as a table of one row, or nothing."""
    assert disagreement(row, three()) == ""


def test_columns_beside_are_passed_over() -> None:
    """The target may stand in a row; a column that nobody knows is left to the table, which warns."""
    encoder = RowEncoder(three(), ["y"])
    row = {"color": "red", "size": 1, "name": "Müller", "y": None}

    assert encoder.encode(row) is not None
    assert encoder.encode(row | {"name": np.float32(1), "y": dt.datetime(2024, 1, 2)}) is not None  # noqa: DTZ001
    assert encoder.encode(row | {"shoe": 1}) is None
    assert encoder.encode(row | {"name": [1]}) is None
    assert encoder.encode(row | {"name": "\ud800"}) is None


def test_looking_adds_nothing_to_the_row() -> None:
    """A mapping with a default for what is not there lacks a column all the same."""
    row: defaultdict[str, object] = defaultdict(int, size=1)

    assert RowEncoder(three()).encode(row) is None
    assert dict(row) == {"size": 1}


def test_encoders_can_be_kept() -> None:
    """An encoder can be pickled and copied, also after its first row."""
    encoder = RowEncoder(three(), ["y"])
    row = {"color": "red", "size": "1.5"}
    encoder.encode(row)

    for twin in (pickle.loads(pickle.dumps(encoder)), copy.deepcopy(encoder)):  # noqa: S301
        assert twin.encode(row).x_num.tolist() == [[1.5]]


@given(number_texts | words, st.sampled_from(NUMBER_FORMATS))
def test_one_number_is_parsed_as_many(text: str, form: NumberFormat) -> None:
    """A text is a number of a format, and which, alone and in an array."""
    if not single_cell.is_encodable(text):
        return
    values, fits, plain = parse_numbers(pa.array([text]), form)
    found = parse_number(text, form)

    assert bool(fits[0]) == (found is not None)
    if found is not None:
        assert (float(values[0]).hex(), plain[0].as_py()) == (found[0].hex(), found[1])


@given(date_texts | st.builds(str, moments), st.sampled_from(list(FORMATS)))
def test_one_date_is_parsed_as_many(text: str, form: str) -> None:
    """A text is a date of a format, and which, alone and in an array."""
    seconds, fits = parse_dates(pa.array([text]), form)
    found = parse_date(text, form)

    assert bool(fits[0]) == (found is not None)
    if found is not None:
        assert float(seconds[0]).hex() == float(found).hex()


def test_blanks_are_the_same_for_text_alone() -> None:
    """Every letter is a blank for Python if it is one for Arrow."""
    letters = [chr(at) for at in (*range(0xD800), *range(0xE000, 0x30000))]
    trimmed = pc.utf8_trim_whitespace(pa.array([f"x{letter}" for letter in letters]))

    assert trimmed.to_pylist() == [f"x{letter}".strip() for letter in letters]


FRAMES = [
    pd.DataFrame({"a": [1], "b": [2.5], "c": ["x"], "d": [None], "e": [True]}),
    pd.DataFrame({"a": pd.Series([1], dtype="int8"), "b": pd.Series([0.1], dtype="float32")}),
    pd.DataFrame({"a": pd.Series([None], dtype="Int64"), "b": pd.Series(["x"], dtype="category")}),
    pd.DataFrame({"a": pd.Series([1.0], dtype="category"), "b": [pd.Timestamp(2024, 1, 2)]}),
    pd.DataFrame({"a": pd.Series(["x"], dtype="string"), "b": [float("nan")], "c": [2**63]}),
    pd.DataFrame([["x", 1]], columns=["a", 3]),
    pd.DataFrame([["x", 1]], columns=["a", "a"]),
    pd.DataFrame({"a": [1, 2]}),
    pd.DataFrame({"a": []}),
]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("column", [NUMBERS[0], CATEGORIES[3], TRUTHS[0], DATES[0]])
def test_a_frame_of_one_row_is_encoded_as_a_table(frame: pd.DataFrame, column: Column) -> None:
    """What pandas holds in one row gives the bits of its table, or is left to it."""
    row = only_row(frame)
    if row is None:
        assert len(frame) != 1 or frame.columns.has_duplicates
        return
    schema = Schema((column, *(UnusedColumn(name, "ignored", "") for name in "bcde")))
    found = RowEncoder(schema).encode(row)
    if found is not None:
        wanted = encode(to_table(frame), schema, source="x")
        np.testing.assert_array_equal(found.x_num, wanted.x_num)
        np.testing.assert_array_equal(found.x_cat, wanted.x_cat)
        np.testing.assert_array_equal(found.x_time, wanted.x_time)


@pytest.mark.parametrize("data", [{"a": [1]}, [1], pa.table({"a": [1]}), pd.Series([1]), 7])
def test_only_frames_of_pandas_have_an_only_row(data: object) -> None:
    """Anything else goes the table's way."""
    assert only_row(data) is None
