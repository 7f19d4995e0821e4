"""Read tables, and learn about their columns before anything is trained.

This package imports neither torch nor scikit-learn. Data passes through `read_table` or `to_table`,
`row_ids` and `split_rows`, `infer_schema` (on training rows only), and `encode`. See
docs/design/schema.md for the rules.
"""

from afina.table.arrays import (
    fill_masked,
    has_no_names,
    is_lazy,
    is_missing_cell,
    missing_mask,
    name_columns,
    to_eager,
)
from afina.table.category import FIRST_LEVEL, MISSING, UNKNOWN, CategoryColumn
from afina.table.column import KINDS, Column, Kind, UnusedColumn
from afina.table.date import DateColumn
from afina.table.declared import is_declared_category
from afina.table.encode import Features, encode
from afina.table.encode_row import RowEncoder, only_row
from afina.table.frame import cell_text, to_table
from afina.table.infer import infer_schema
from afina.table.label import Label, find_classes
from afina.table.names import did_you_mean, list_names, nearest_name, suggest_names
from afina.table.numeric import NumberColumn, NumberFormat
from afina.table.read import read_table
from afina.table.repeats import Observations, Repeats, find_repeats
from afina.table.rows import group_ids, row_ids, time_ranks
from afina.table.schema import Schema
from afina.table.split import Folds, Split, assign_folds, count_units, split_rows
from afina.table.stdin import is_stdin, stdin_bytes, table_name
from afina.table.target import Target, TargetTask, match_target, read_target
from afina.table.unusual import unusual_notes

__all__ = [
    "FIRST_LEVEL",
    "KINDS",
    "MISSING",
    "UNKNOWN",
    "CategoryColumn",
    "Column",
    "DateColumn",
    "Features",
    "Folds",
    "Kind",
    "Label",
    "NumberColumn",
    "NumberFormat",
    "Observations",
    "Repeats",
    "RowEncoder",
    "Schema",
    "Split",
    "Target",
    "TargetTask",
    "UnusedColumn",
    "assign_folds",
    "cell_text",
    "count_units",
    "did_you_mean",
    "encode",
    "fill_masked",
    "find_classes",
    "find_repeats",
    "group_ids",
    "has_no_names",
    "infer_schema",
    "is_declared_category",
    "is_lazy",
    "is_missing_cell",
    "is_stdin",
    "list_names",
    "match_target",
    "missing_mask",
    "name_columns",
    "nearest_name",
    "only_row",
    "read_table",
    "read_target",
    "row_ids",
    "split_rows",
    "stdin_bytes",
    "suggest_names",
    "table_name",
    "time_ranks",
    "to_eager",
    "to_table",
    "unusual_notes",
]
