"""When a column is dates, and what is learned of them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from afina.table.cells import Levels, as_one
from afina.table.column import Column
from afina.table.dates import (
    COMPACT,
    FORMATS,
    ISO,
    ISO_OFFSET,
    find_date_formats,
    maybe_date,
    parse_dates,
    typed_seconds,
)
from afina.table.looked import Looked


def describe_typed_dates(look: Looked, column: pa.ChunkedArray) -> Column:
    """Take a column of dates or timestamps; an instant without a zone is taken as UTC."""
    zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
    return _describe(look, typed_seconds(as_one(column)), ISO_OFFSET if zoned else ISO, [])


def try_text_dates(look: Looked, levels: Levels) -> Column | str:
    """Take a column's cells as dates of one format, or say why they are none.

    Args:
        look: the column.
        levels: its cells without the usual words for "missing".

    Returns:
        The column; or the reason, empty where the cells do not look like dates.
    """
    texts = levels.texts
    if not look.asked and not any(maybe_date(text) for text in texts[:3].to_pylist()):
        return ""
    found = find_date_formats(texts)
    if look.asked:
        compact = parse_dates(texts, COMPACT)[1]
        found |= {COMPACT: compact} if compact.any() else {}
    whole = [form for form, fits in found.items() if fits.all()]
    if whole:
        notes = ["month first, though day first would fit every cell too"]
        twins = "MM/DD/YYYY" in whole and "DD/MM/YYYY" in whole
        seconds = parse_dates(texts, whole[0])[0]
        return _describe(look, levels.spread(seconds), whole[0], notes * twins)
    if look.asked:
        best = max(found.values(), key=np.sum, default=np.zeros(len(texts), bool))
        look.refuse(levels, int(np.argmin(best)), f"dates in one format of {', '.join(FORMATS)}")
    return _why_no_dates(look, levels, found)


def _why_no_dates(look: Looked, levels: Levels, found: dict[str, NDArray[np.bool_]]) -> str:
    if not found:
        return ""
    counts = levels.count(look.rows.repeats)
    first, fits = max(found.items(), key=lambda item: counts[item[1]].sum())
    odd = int(np.argmin(fits))
    for form, others in found.items():
        if others[odd]:
            return (
                f"dates in two formats: {look.example(levels, int(np.argmax(fits)))} is {first}, "
                f"{look.example(levels, odd)} is {form}"
            )
    if counts[fits].sum() < 0.5 * counts.sum():
        return ""
    return f"not dates, because of {look.example(levels, odd)}"


def _describe(look: Looked, seconds: NDArray[np.float64], form: str, notes: list[str]) -> Column:
    missing = np.isnan(seconds)
    missing_frac = look.rows.missing_frac(missing)
    distinct = np.unique(seconds[~missing])
    if not look.asked and not len(distinct):
        return look.ignored("every cell is missing", missing_frac=missing_frac)
    if not look.asked and len(distinct) == 1 and not missing.any():
        return look.ignored(f"every cell is {_show(distinct[0])}", n_unique=1)
    low, high = (float(distinct[0]), float(distinct[-1])) if len(distinct) else (None, None)
    span = "without a value" if low is None else f"from {_show(low)} to {_show(high or 0.0)}"
    return Column(
        look.name,
        "datetime",
        look.as_asked("; ".join([f"dates written {form}, {span}", *notes])),
        missing_frac,
        len(distinct),
        minimum=low,
        maximum=high,
        date_format=form,
    )


def _show(seconds: float) -> str:
    text = pc.cast(pa.scalar(int(seconds // 1), pa.int64()), pa.timestamp("s")).cast(pa.string())
    return str(text.as_py()).removesuffix(" 00:00:00")
