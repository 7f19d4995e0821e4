"""Numbers are found in text whatever marks they are written with."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.table.numeric import PLAIN, NumberFormat, find_format, parse_numbers

FORMATS = [
    NumberFormat(decimal, thousands, prefix, suffix)
    for decimal, thousands in [(".", ""), (".", ","), (",", ""), (",", "."), (".", " "), (".", "'")]
    for prefix, suffix in [("", ""), ("$", ""), ("", "€"), ("EUR", ""), ("", "%")]
]


def write(value: float, form: NumberFormat) -> str:
    """Write a number with two digits behind the point, as people do."""
    text = f"{value:,.2f}" if form.thousands else f"{value:.2f}"
    text = text.translate(str.maketrans({",": form.thousands, ".": form.decimal}))
    return f"{form.prefix} {text} {form.suffix}".strip()


@pytest.mark.parametrize("form", FORMATS, ids=NumberFormat.describe)
@settings(max_examples=25)
@given(data=st.data())
def test_what_is_written_is_read(form: NumberFormat, data: st.DataObject) -> None:
    """Numbers written in a format are found in it, or in a plainer one with the same values."""
    hundredths = st.integers(-(10**12), 10**12)
    values = np.array(data.draw(st.lists(hundredths, min_size=1, max_size=9))) / 100
    texts = pa.array([write(value, form) for value in values])

    found, fits = find_format(texts, np.ones(len(values)))

    assert fits.all()
    np.testing.assert_array_equal(parse_numbers(texts, found)[0], values)
    np.testing.assert_array_equal(parse_numbers(texts, form)[0], values)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_exact(value: float) -> None:
    """The shortest text of a float gives the same float."""
    assert parse_numbers(pa.array([repr(value)]), PLAIN)[0][0] == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-",
        ".",
        "e5",
        "1e",
        "1,2,3",
        "1.2.3",
        "1 2",
        "inf",
        "nan",
        "0x1",
        "1_0",
        "--1",
        "١",
        "1-",
    ],
)
def test_no_numbers(text: str) -> None:
    """Near numbers are none, in any format."""
    for form in FORMATS:
        values, fits, _ = parse_numbers(pa.array([text]), form)
        assert not fits[0]
        assert math.isnan(values[0])


@pytest.mark.parametrize(
    ("texts", "says", "values"),
    [
        (["1.5", "2"], "numbers", [1.5, 2]),
        ([" 1 ", "\t2"], "numbers", [1, 2]),
        (["1,234", "56"], "numbers with commas between thousands", [1234, 56]),
        (["1,234", "5,6"], "numbers with decimal comma", [1.234, 5.6]),
        (["0,123"], "numbers with decimal comma", [0.123]),
        (["1.234"], "numbers", [1.234]),
        (
            ["1.234", "1.234.567"],
            "numbers with decimal comma, points between thousands",
            [1234, 1234567],
        ),
        (["1'234.5", "1\u2019000"], "numbers with apostrophes between thousands", [1234.5, 1000]),
        (["1\u202f234,5"], "numbers with decimal comma, spaces between thousands", [1234.5]),
        (["\u22125", "3"], "numbers", [-5, 3]),
        (["-$5", "$-6", "$ 7"], "numbers with '$' in front", [-5, -6, 7]),
        (["5 EUR", "6"], "numbers with 'EUR' at the end", [5, 6]),
        (
            ["R$ 1.000,00"],
            "numbers with decimal comma, points between thousands, 'R$' in front",
            [1000],
        ),
        (["1,5e3", "2,5"], "numbers with decimal comma", [1500, 2.5]),
    ],
)
def test_formats(texts: list[str], says: str, values: list[float]) -> None:
    """The plainest format that most cells have is found, and put into words."""
    array = pa.array(texts)
    form, fits = find_format(array, np.ones(len(texts)))

    assert fits.all()
    assert form.describe() == says
    assert parse_numbers(array, form)[0].tolist() == values


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_wide_text_has_the_same_formats(kind):
    """Text with wide offsets, as pandas gives it, is read like any other."""
    texts = pa.array(["1.234,5 €", "7 €", "x", "0,5 €"], kind)
    form, fits = find_format(texts, np.ones(4))

    assert form == NumberFormat(",", ".", "", "€")
    assert fits.tolist() == [True, True, False, True]


def test_equal_marks_are_refused() -> None:
    """One mark cannot be both the decimal and the thousands."""
    with pytest.raises(ValueError, match="different marks"):
        NumberFormat(".", ".")
