"""The table of columns: how each one is read, and why."""

from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup

from afina.report.formatting import percent
from afina.report.templates import fill

N_COLUMNS = 200
_N_LEVELS = 5


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


def _row(column: dict[str, Any]) -> dict[str, Any]:
    """Return what one row of the table shows, as text."""
    distinct, levels = column.get("n_unique"), column.get("vocabulary")
    missing = column.get("missing_frac")
    levels = list(map(str, levels)) if isinstance(levels, list) else []
    n_more = len(levels) - _N_LEVELS
    return {
        "name": str(column.get("name", "")),
        "kind": str(column.get("kind", "")),
        "why": str(column.get("why") or ""),
        "missing": (percent(missing) if missing else "0")
        if isinstance(missing, int | float)
        else "",
        "distinct": f"{distinct:,}" if isinstance(distinct, int) else "",
        "levels": levels[:_N_LEVELS],
        "range": _range(column) or (f" and {n_more:,} more" if n_more > 0 else ""),
    }


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
