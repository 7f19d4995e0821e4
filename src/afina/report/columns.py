"""The table of columns: what each was taken for, and why."""

from datetime import UTC, datetime, timedelta
from typing import Any

from afina.report.jsonfile import Record
from afina.report.wording import escape

N_COLUMNS = 200
_N_LEVELS = 5


def columns_section(schema: Record | None) -> str:
    """Write the schema as an HTML section, cut to `N_COLUMNS` rows."""
    columns = schema.get("columns") if schema else None
    if not isinstance(columns, list):
        return "<section><h2>Columns</h2><p>The run has no schema.json yet.</p></section>"
    records = [column for column in columns if isinstance(column, dict)]
    rows = "\n".join(_row(column) for column in records[:N_COLUMNS])
    more = ""
    if len(records) > N_COLUMNS:
        more = (
            f'<p class="note">and {len(records) - N_COLUMNS:,} more: '
            "all of them stand in schema.json.</p>"
        )
    heads = ("Column", "Taken as", "Why", "Missing", "Distinct", "Range or first levels")
    head = "".join(
        f'<th scope="col"{_RIGHT if name in ("Missing", "Distinct") else ""}>{name}</th>'
        for name in heads
    )
    return (
        f"<section><h2>Columns</h2><p>Learned from the training rows: {len(records):,} columns"
        f'{_kinds(records)}.</p><div class="wide"><table class="columns"><thead><tr>{head}</tr>'
        f"</thead><tbody>\n{rows}\n</tbody></table></div>{more}</section>"
    )


_RIGHT = ' class="number"'


def _kinds(records: list[Record]) -> str:
    counts: dict[str, int] = {}
    for record in records:
        kind = str(record.get("kind"))
        counts[kind] = counts.get(kind, 0) + 1
    listed = ", ".join(f"{n:,} {escape(kind, 20)}" for kind, n in sorted(counts.items()))
    return f" ({listed})" if listed else ""


def _row(column: Record) -> str:
    missing, distinct = column.get("missing_frac"), column.get("n_unique")
    kind = str(column.get("kind", ""))
    quiet = ' class="quiet"' if kind == "ignored" else ""
    return (
        f'<tr{quiet}><th scope="row">{escape(column.get("name", ""))}</th>'
        f"<td>{escape(kind, 20)}</td><td>{escape(column.get('why') or '', 160)}</td>"
        f"<td{_RIGHT}>{_percent(missing)}</td>"
        f"<td{_RIGHT}>{f'{distinct:,}' if isinstance(distinct, int) else ''}</td>"
        f"<td>{_values(column)}</td></tr>"
    )


def _percent(fraction: Any) -> str:
    if not isinstance(fraction, int | float):
        return ""
    if 0 < fraction < 0.001:
        return "&lt;0.1 %"
    return f"{100 * fraction:.1f} %" if fraction else "0"


def _values(column: Record) -> str:
    low, high = column.get("minimum"), column.get("maximum")
    if isinstance(low, int | float) and isinstance(high, int | float):
        write = _date if column.get("kind") == "datetime" else _number
        return f"{write(low)} to {write(high)}"
    levels = column.get("vocabulary")
    if not isinstance(levels, list) or not levels:
        return ""
    shown = ", ".join(f"<q>{escape(level, 30)}</q>" for level in levels[:_N_LEVELS])
    more = len(levels) - _N_LEVELS
    return shown + (f" and {more:,} more" if more > 0 else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:,.6g}"


def _date(seconds: float) -> str:
    """Write seconds since 1970 as a date, with the clock where it is not midnight."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return f"{seconds:,.6g} s"
    return f"{moment:%Y-%m-%d}" if seconds % 86_400 == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"
