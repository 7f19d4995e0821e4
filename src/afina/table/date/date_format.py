"""The formats of dates and instants in text cells, and their conversion to seconds since 1970."""

import datetime as dt
import re
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from afina.table.cells import as_mask, to_codes
from afina.table.frame import UNITS

_CLOCK = r"(?P<h>[0-9]{2}):(?P<min>[0-9]{2})(?::(?P<s>[0-9]{2})(?P<frac>\.[0-9]{1,9})?)?"
_TIME = rf"(?:[T ]{_CLOCK})?$"
_YEAR, _MONTH, _DAY = "(?P<y>[0-9]{4})", "(?P<m>[0-9]{1,2})", "(?P<d>[0-9]{1,2})"
FORMATS = {
    "YYYY-MM-DD": rf"^{_YEAR}-{_MONTH}-{_DAY}{_TIME}",
    "YYYY-MM-DD with offset": (
        rf"^{_YEAR}-{_MONTH}-{_DAY}[T ]{_CLOCK} ?(?P<offset>Z|[+-][0-9]{{2}}:?(?:[0-9]{{2}})?)$"
    ),
    "YYYY/MM/DD": rf"^{_YEAR}/{_MONTH}/{_DAY}{_TIME}",
    "DD.MM.YYYY": rf"^{_DAY}\.{_MONTH}\.{_YEAR}{_TIME}",
    "MM/DD/YYYY": rf"^{_MONTH}/{_DAY}/{_YEAR}{_TIME}",  # before DD/MM: when in doubt, month first
    "DD/MM/YYYY": rf"^{_DAY}/{_MONTH}/{_YEAR}{_TIME}",
    "DD-MM-YYYY": rf"^{_DAY}-{_MONTH}-{_YEAR}{_TIME}",
    "YYYYMMDD": r"^(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})$",
}
"""The pattern of each format, by the name that a `DateColumn` stores."""

ISO, ISO_OFFSET, COMPACT = "YYYY-MM-DD", "YYYY-MM-DD with offset", "YYYYMMDD"
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - tables hold times without a zone
_MAYBE = re.compile(r"\s*[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}")


def maybe_date(text: str) -> bool:
    """Return whether text starts like a date, as a cheap first check."""
    return _MAYBE.match(text) is not None


def parse_dates(texts: pa.Array, form: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Read text values as dates in one of the `FORMATS`.

    Returns:
        Seconds since 1970 in UTC (NaN for a value that is not a date in that format, or not a day
        of the calendar), and which values are dates.

    Example:
        >>> parse_dates(pa.array(["1970-01-02 00:00:01.5", "1970-02-30"]), "YYYY-MM-DD")[0]
        array([86401.5,     nan])
    """
    parts = pc.extract_regex(pc.utf8_trim_whitespace(texts), FORMATS[form])
    names = set(re.findall(r"\(\?P<(\w+)>", FORMATS[form]))
    year, month, day = (_read_part(parts, name, "0", pa.int64()) for name in "ymd")
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    longest = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    length = longest[np.clip(month, 0, 12)] + (leap & (month == 2))
    fits = (
        as_mask(pc.is_valid(parts))
        & (year >= 1)
        & (month >= 1)
        & (month <= 12)
        & (day >= 1)
        & (day <= length)
    )
    seconds = (_days(year, np.clip(month, 1, 12), day) * 86400).astype(np.int64)
    fraction = np.zeros(len(seconds))
    if "h" in names:
        hour, minute, second = (
            _read_part(parts, name, "0", pa.int64()) for name in ("h", "min", "s")
        )
        fits &= (hour < 24) & (minute < 60) & (second < 60)
        seconds += hour * 3600 + minute * 60 + second
        fraction = _read_part(parts, "frac", ".0", pa.float64())
    if "offset" in names:
        offset, valid = _offsets(pc.struct_field(parts, "offset"))
        seconds -= offset
        fits &= valid
    return np.where(fits, seconds + fraction, np.nan), fits


def parse_date(text: str, form: str) -> float | None:
    """Read one value as `parse_dates` does, a hundred times as fast; None if it is not a date.

    Example:
        >>> parse_date("1970-01-02 00:00:01.5", "YYYY-MM-DD"), parse_date("1970-02-30", "YYYY-MM-DD")
        (86401.5, None)
    """
    match = _compiled(form).fullmatch(text.strip())
    if not match:
        return None
    parts = match.groupdict()
    try:
        day = dt.date(int(parts["y"]), int(parts["m"]), int(parts["d"]))
    except ValueError:
        return None
    hour, minute, second = (int(parts.get(name) or 0) for name in ("h", "min", "s"))
    offset, valid = _offset(parts.get("offset") or "Z")
    if hour > 23 or minute > 59 or second > 59 or not valid:
        return None
    seconds = (day - _EPOCH.date()).days * 86400 + hour * 3600 + minute * 60 + second - offset
    return seconds + float(parts.get("frac") or 0.0)


def typed_second(moment: dt.date) -> float:
    """Turn one date, or time without an offset, into seconds, as `typed_seconds` does.

    Example:
        >>> typed_second(dt.date(1970, 1, 2)), typed_second(dt.datetime(1969, 12, 31, 23, 59, 59))
        (86400.0, -1.0)
    """
    if not isinstance(moment, dt.datetime):
        return (moment - _EPOCH.date()).days * 86400.0
    since = moment - _EPOCH
    return since.days * 86400 + since.seconds + since.microseconds / 1_000_000


def typed_seconds(column: pa.Array) -> NDArray[np.float64]:
    """Turn dates or timestamps into seconds since 1970 in UTC; null becomes NaN."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s" if pa.types.is_date32(column.type) else "ms"))
    ticks = np.asarray(column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False))
    per_second = UNITS[column.type.unit]
    seconds = ticks // per_second + (ticks % per_second) / per_second
    return np.where(as_mask(column.is_valid()), seconds, np.nan)


def find_date_formats(texts: pa.Array) -> dict[str, NDArray[np.bool_]]:
    """Return which values fit each format, in order of preference; omit formats that fit none."""
    fits = {form: parse_dates(texts, form)[1] for form in FORMATS if form != COMPACT}
    return {form: mask for form, mask in fits.items() if mask.any()}


def _days(
    year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]
) -> NDArray[np.int64]:
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64) + day - 1


def _read_part(parts: pa.Array, name: str, empty: str, kind: pa.DataType) -> NDArray[Any]:
    """Read the numbers in one part of the dates; `empty` stands for a missing part."""
    text = pc.struct_field(parts, name)
    filled = pc.if_else(pc.equal(text, ""), empty, text).fill_null(empty)
    return np.asarray(filled.cast(kind).to_numpy(zero_copy_only=False))


def _offsets(text: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Turn `Z`, `+02`, `+0200` and `+02:00` into seconds; parse each distinct offset once."""
    coded = text.dictionary_encode()
    offsets = [*map(_offset, coded.dictionary.to_pylist()), (0, False)]  # the last is for null
    seconds, valid = zip(*offsets, strict=True)
    codes = to_codes(coded.indices)
    return np.array(seconds, np.int64)[codes], np.array(valid)[codes]


def _offset(zone: str) -> tuple[int, bool]:
    """Return `Z`, `+02`, `+0200` or `+02:00` in seconds, and whether the offset is valid."""
    digits = zone.replace("Z", "+0000")[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    sign = -1 if zone[0] == "-" else 1
    return sign * (hours * 3600 + minutes * 60), hours < 24 and minutes < 60


@cache
def _compiled(form: str) -> re.Pattern[str]:
    return re.compile(FORMATS[form])
