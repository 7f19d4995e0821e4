"""Cells of rows to predict that differ from all training rows: unknown levels, distant numbers."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from afina.table.category import UNKNOWN, unknown_fault
from afina.table.cells import read_levels
from afina.table.date import DateColumn
from afina.table.encode import Features
from afina.table.names import count_cells, show_cell
from afina.table.numeric import NumberColumn
from afina.table.schema import Schema

_MOST_NOTES = 5  # columns of each kind
_USUAL_SHARE = 0.1  # of unknown cells, in a column that had rare levels in training


def unusual_notes(table: pa.Table, schema: Schema, features: Features) -> list[str]:
    """Say which columns of rows to predict hold cells that the model has learned nothing about.

    Args:
        table: the rows.
        schema: the schema learned from the training rows.
        features: the rows, as `encode` returns them.
    """
    return [
        *_cut(_unknown_levels(table, schema, features)),
        *_cut(_far_values(table, schema, features)),
    ]


def _cut(notes: Iterator[str]) -> list[str]:
    sentences = list(notes)
    more = len(sentences) - _MOST_NOTES
    return sentences[:_MOST_NOTES] + [f"and {more:,} more columns like it"] * (more > 0)


def _unknown_levels(table: pa.Table, schema: Schema, features: Features) -> Iterator[str]:
    for column, codes in zip(schema.cat_columns, features.x_cat.T, strict=True):
        rows = np.flatnonzero(codes == UNKNOWN)
        rare_in_training = column.n_unique > len(column.vocabulary)  # learned as unknown
        if len(rows) <= rare_in_training * _USUAL_SHARE * table.num_rows:
            continue
        cells = table.column(column.name)
        levels = read_levels(cells, schema.missing_values)
        code_of = np.full(len(levels.texts) + 1, UNKNOWN)  # the last is that of missing cells
        code_of[levels.codes] = codes
        if unknown_fault(column, cells.type, levels, code_of[:-1].tolist()):
            continue  # `encode` has warned
        yield (
            f"column {column.name!r}: {count_cells(len(rows))} with a value that the model does not "
            f"know, such as {_example(table, column.name, rows[0])}; treated as unknown"
        )


def _far_values(table: pa.Table, schema: Schema, features: Features) -> Iterator[str]:
    columns: list[NumberColumn | DateColumn] = [*schema.num_columns, *schema.time_columns]
    values = [*features.x_num.T, *features.x_time.T]
    for column, x in zip(columns, values, strict=True):
        low, high = column.minimum, column.maximum
        if low is None or high is None:
            continue
        offset = column.offset if isinstance(column, NumberColumn) else 0
        far = np.abs(x + offset - (low + high) / 2) > 1.5 * (high - low)  # a whole range away
        rows = np.flatnonzero(far)
        if len(rows):
            yield (
                f"column {column.name!r}: {count_cells(len(rows))} far outside the range that the "
                f"model learned from ({_range(column, low, high)}), such as "
                f"{_example(table, column.name, rows[0])}; predictions for such rows are guesses"
            )


def _range(column: NumberColumn | DateColumn, low: float, high: float) -> str:
    if isinstance(column, NumberColumn):
        return f"{low:.6g} to {high:.6g}"
    return " to ".join(
        str(np.datetime64(int(second), "s").astype("M8[D]")) for second in (low, high)
    )


def _example(table: pa.Table, name: str, row: np.int64) -> str:
    cell = table.column(name)[int(row)].as_py()
    shown = show_cell(cell) if isinstance(cell, str | int | float | bool) else str(cell)
    return f"{shown} (row {row + 1})"
