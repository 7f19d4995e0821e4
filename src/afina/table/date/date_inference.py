"""Decide whether a column holds dates, and learn their format and range."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from afina.table.cells import Levels, as_one
from afina.table.column import UnusedColumn
from afina.table.column_context import InferContext
from afina.table.date.date_column import DateColumn
from afina.table.date.date_format import (
    COMPACT,
    FORMATS,
    ISO,
    ISO_OFFSET,
    find_date_formats,
    maybe_date,
    parse_dates,
    typed_seconds,
)


def infer_typed_dates(context: InferContext, column: pa.ChunkedArray) -> DateColumn | UnusedColumn:
    """Treat a typed column as dates; a timestamp without a zone counts as UTC."""
    zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
    return _describe(context, typed_seconds(as_one(column)), ISO_OFFSET if zoned else ISO, [])


def infer_text_dates(context: InferContext, levels: Levels) -> DateColumn | UnusedColumn | str:
    """Treat text cells as dates in one format, or return why they are not dates.

    Args:
        levels: the cells, without the usual words for "missing".

    Returns:
        The column, or the reason, which is empty if the cells do not look like dates.
    """
    texts = levels.texts
    if not context.requested and not any(maybe_date(text) for text in texts[:3].to_pylist()):
        return ""
    formats = find_date_formats(texts)
    if context.requested:
        compact = parse_dates(texts, COMPACT)[1]
        formats |= {COMPACT: compact} if compact.any() else {}
    whole = [form for form, fits in formats.items() if fits.all()]
    if whole:
        notes = ["month first, although every cell could also be read day first"]
        twins = "MM/DD/YYYY" in whole and "DD/MM/YYYY" in whole
        seconds = parse_dates(texts, whole[0])[0]
        if twins:
            day = _show(np.floor(seconds[0] / 86400) * 86400)
            context.note(
                f"dates could be written day first or month first, and month first is assumed: "
                f"{levels.show(0)} is {day}. Write them as YYYY-MM-DD if that is wrong"
            )
        return _describe(context, levels.spread(seconds), whole[0], notes * twins)
    if context.requested:
        best = max(formats.values(), key=np.sum, default=np.zeros(len(texts), bool))
        context.refuse(
            levels, int(np.argmin(best)), f"dates in one of the formats {', '.join(FORMATS)}"
        )
    return _why_no_dates(context, levels, formats)


def _why_no_dates(
    context: InferContext, levels: Levels, formats: dict[str, NDArray[np.bool_]]
) -> str:
    if not formats:
        return ""
    counts = levels.count(context.rows.repeats)
    first, fits = max(formats.items(), key=lambda item: counts[item[1]].sum())
    odd = int(np.argmin(fits))
    for form, others in formats.items():
        if others[odd]:
            return (
                f"dates in two formats: {context.quote(levels, int(np.argmax(fits)))} is {first}, "
                f"{context.quote(levels, odd)} is {form}"
            )
    if counts[fits].sum() < 0.5 * counts.sum():
        return ""
    return f"not dates, because of {context.quote(levels, odd)}"


def _describe(
    context: InferContext, seconds: NDArray[np.float64], form: str, notes: list[str]
) -> DateColumn | UnusedColumn:
    missing = np.isnan(seconds)
    missing_frac = context.rows.missing_frac(missing)
    distinct = np.unique(seconds[~missing])
    if not context.requested and not len(distinct):
        return context.ignore("every cell is missing", missing_frac=missing_frac)
    if not context.requested and len(distinct) == 1 and not missing.any():
        return context.ignore(f"every cell is {_show(distinct[0])}", n_unique=1)
    low, high = (float(distinct[0]), float(distinct[-1])) if len(distinct) else (None, None)
    span = "without a value" if low is None else f"from {_show(low)} to {_show(high or 0.0)}"
    return DateColumn(
        context.name,
        "datetime",
        context.explain("; ".join([f"dates written {form}, {span}", *notes])),
        missing_frac,
        len(distinct),
        minimum=low,
        maximum=high,
        date_format=form,
    )


def _show(seconds: float) -> str:
    text = pc.cast(pa.scalar(int(seconds // 1), pa.int64()), pa.timestamp("s")).cast(pa.string())
    return str(text.as_py()).removesuffix(" 00:00:00")
