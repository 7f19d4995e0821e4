"""Small tables of text: a table's columns, and scores."""

from collections.abc import Mapping, Sequence

from rich.cells import cell_len, set_cell_size

from afina.report.formatting import pair, percent
from afina.table import Schema

MOST_LINES = 40
WIDEST_CELL = 40


def column_lines(schema: Schema, *, whole: bool) -> list[str]:
    """Return a line for each column that says how it is read, and why.

    Args:
        schema: the table's schema.
        whole: return all columns; otherwise at most 40.
    """
    columns = schema.columns if whole else schema.columns[:MOST_LINES]
    rows = [("column", "kind", "missing", "why")]
    rows += [(c.name, c.kind, share(c.missing_frac), c.why) for c in columns]
    lines = align(rows)
    n_more = len(schema.columns) - len(columns)
    return [*lines, f"  and {n_more:,} more (-v shows all)"] if n_more else lines


def score_lines(
    scores: Mapping[str, float | None], baseline: Mapping[str, float | None]
) -> list[str]:
    """Return a line for each score, with the baseline's score next to it."""
    rows = [("score", "model", "baseline")]
    for name, value in scores.items():
        ours, theirs = pair(value, baseline.get(name))
        rows.append((name, ours, theirs if name in baseline else ""))
    return align(rows)


def share(part: float) -> str:
    """Format a share of rows as a percentage; 0 is left empty.

    Example:
        >>> share(0.0), share(0.0004), share(0.087), share(1.0)
        ('', '<0.1 %', '8.7 %', '100.0 %')
    """
    return percent(part) if part else ""


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns by the width of each character in a terminal; the last column may be long."""
    cells = [[" ".join(cell.split()) for cell in row] for row in rows]
    n_fitted = len(cells[0]) - 1
    widths = [min(max(cell_len(row[j]) for row in cells), WIDEST_CELL) for j in range(n_fitted)]
    return [
        "  ".join(["", *(_fit(row[j], widths[j]) for j in range(n_fitted)), row[-1]]).rstrip()
        for row in cells
    ]


def _fit(cell: str, width: int) -> str:
    if cell_len(cell) <= width:
        return set_cell_size(cell, width)
    return set_cell_size(cell, width - 1) + "…"
