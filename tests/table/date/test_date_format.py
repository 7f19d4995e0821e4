"""Dates are read in several formats, and days that no calendar has are none."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.table.date.date_format import FORMATS, find_date_formats, parse_dates, typed_seconds

WRITTEN = {
    "YYYY-MM-DD": "%Y-%m-%d",
    "YYYY/MM/DD": "%Y/%m/%d",
    "DD.MM.YYYY": "%d.%m.%Y",
    "MM/DD/YYYY": "%m/%d/%Y",
    "DD/MM/YYYY": "%d/%m/%Y",
    "DD-MM-YYYY": "%d-%m-%Y",
}
EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - both sides without a zone


@pytest.mark.parametrize("form", WRITTEN)
@given(moment=st.datetimes(dt.datetime(1000, 1, 1)))  # noqa: DTZ001
def test_dates_are_read(form: str, moment: dt.datetime) -> None:
    """Python's own dates, written in each format, come back as their seconds."""
    whole = moment.replace(microsecond=0)
    midnight = whole.replace(hour=0, minute=0, second=0)
    texts = [
        f"{midnight:{WRITTEN[form]}}",
        f"{whole:{WRITTEN[form]} %H:%M:%S}",
        f"{whole:{WRITTEN[form]}T%H:%M}",
        f"{moment:{WRITTEN[form]} %H:%M:%S.%f}",
    ]

    seconds, fits = parse_dates(pa.array(texts), form)

    expected = [midnight, whole, whole.replace(second=0)]
    assert fits.all()
    assert seconds[:3].tolist() == [(one - EPOCH).total_seconds() for one in expected]
    assert abs(seconds[3] - (moment - EPOCH).total_seconds()) <= 1e-5


@given(moment=st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)))  # noqa: DTZ001
def test_text_and_type_agree(moment: dt.datetime) -> None:
    """A timestamp of any unit gives the seconds of its text, to the bit."""
    for unit in ("s", "ms", "us", "ns"):
        typed = pa.array([moment]).cast(pa.timestamp(unit), safe=False)
        text = pa.array([str(np.datetime_as_string(typed.to_numpy()[0], unit=unit))])

        np.testing.assert_array_equal(typed_seconds(typed), parse_dates(text, "YYYY-MM-DD")[0])


@pytest.mark.parametrize(
    "text",
    ["2024-02-30", "2023-02-29", "2024-13-01", "2024-00-10", "2024-01-00", "0000-01-01", "2024-01"],
)
def test_no_such_day(text: str) -> None:
    """Days that no calendar has are no dates."""
    assert not parse_dates(pa.array([text]), "YYYY-MM-DD")[1][0]


@pytest.mark.parametrize("clock", ["24:00", "10:60", "10:00:60", "1:00", "10:00 AM", "10:00Z"])
def test_no_such_time(clock: str) -> None:
    """Times that no clock shows are none, and an offset is another format."""
    assert not parse_dates(pa.array([f"2024-01-31 {clock}"]), "YYYY-MM-DD")[1][0]


@pytest.mark.parametrize(
    ("zone", "hours"), [("Z", 0), ("+02:00", 2), ("+0230", 2.5), ("-05", -5), (" +01:00", 1)]
)
def test_offsets(zone: str, hours: float) -> None:
    """An offset is taken off, so that seconds are those of UTC."""
    texts = pa.array([f"1970-01-01T12:00:00{zone}", "1970-01-01T12:00+99:00"])
    seconds, fits = parse_dates(texts, "YYYY-MM-DD with offset")

    assert seconds[0] == (12 - hours) * 3600
    assert fits.tolist() == [True, False]


def test_typed_dates() -> None:
    """Days, also those counted in milliseconds, give the seconds of midnight."""
    for kind in (pa.date32(), pa.date64()):
        days = pa.array([dt.date(1970, 1, 2), None, dt.date(1969, 12, 31)], kind)
        np.testing.assert_array_equal(typed_seconds(days), [86400, np.nan, -86400])


def test_formats_that_fit() -> None:
    """All formats that some cell has are found, the preferred one first."""
    found = find_date_formats(pa.array(["01/02/2024", "13/02/2024", "x"]))

    assert {form: fits.tolist() for form, fits in found.items()} == {
        "MM/DD/YYYY": [True, False, False],
        "DD/MM/YYYY": [True, True, False],
    }
    assert list(FORMATS).index("MM/DD/YYYY") < list(FORMATS).index("DD/MM/YYYY")
