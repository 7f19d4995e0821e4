"""The table of columns: how each one is read, and why."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup

from afina.report.templates import fill

N_COLUMNS = 200
_N_LEVELS = 5


@dataclass(frozen=True)
class ColumnRow:
    """One row of the table.

    Args:
        name: the column's name.
        kind: its kind.
        why: why the column is read this way.
        missing: share of missing cells, as text.
        distinct: number of distinct values, as text.
        levels: the first levels of a category.
        range: the range of numbers or dates, or the number of levels not listed.
    """

    name: str
    kind: str
    why: str
    missing: str
    distinct: str
    levels: list[str]
    range: str


def columns_section(schema: dict[str, Any] | None) -> Markup:
    """Return a section of the page that shows the schema, with at most `N_COLUMNS` rows."""
    columns = schema.get("columns") if schema else None
    if not isinstance(columns, list):
        return fill("text", title="Columns", text="The run has no schema.json yet.")
    records = [column for column in columns if isinstance(column, dict)]
    return fill(
        "columns",
        text=f"Learned from the training rows: {len(records):,} columns{_kinds(records)}.",
        rows=[_row(record) for record in records[:N_COLUMNS]],
        n_more=max(len(records) - N_COLUMNS, 0),
    )


def _kinds(records: list[dict[str, Any]]) -> str:
    kinds = [str(record.get("kind"))[:20] for record in records]
    counts = ", ".join(f"{kinds.count(kind):,} {kind}" for kind in sorted(set(kinds)))
    return f" ({counts})" if counts else ""


def _row(column: dict[str, Any]) -> ColumnRow:
    distinct, levels = column.get("n_unique"), column.get("vocabulary")
    levels = list(map(str, levels)) if isinstance(levels, list) else []
    n_more = len(levels) - _N_LEVELS
    return ColumnRow(
        name=str(column.get("name", "")),
        kind=str(column.get("kind", "")),
        why=str(column.get("why") or ""),
        missing=_percent(column.get("missing_frac")),
        distinct=f"{distinct:,}" if isinstance(distinct, int) else "",
        levels=levels[:_N_LEVELS],
        range=_range(column) or (f" and {n_more:,} more" if n_more > 0 else ""),
    )


def _percent(fraction: Any) -> str:
    if not isinstance(fraction, int | float):
        return ""
    if 0 < fraction < 0.001:
        return "<0.1 %"
    return f"{100 * fraction:.1f} %" if fraction else "0"


def _range(column: dict[str, Any]) -> str:
    low, high = column.get("minimum"), column.get("maximum")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return ""
    form = _date if column.get("kind") == "datetime" else _number
    return f"{form(low)} to {form(high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:,.6g}"


def _date(seconds: float) -> str:
    """Format seconds since 1970 as a date, with the time of day unless it is midnight."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return f"{seconds:,.6g} s"
    return f"{moment:%Y-%m-%d}" if seconds % 86_400 == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"
