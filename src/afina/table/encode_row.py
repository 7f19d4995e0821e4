"""Encode the cells of one row as numbers and codes, without making a table.

The result equals that of `encode` for a table with that one row, bit for bit, or it is None:
unusual rows (with a column too many or too few, a cell of an unusual type, or a cell that calls for
an error or a warning) are left to `encode`, so that errors and warnings come from one place.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from afina.table.category import CategoryReader
from afina.table.date import DateReader
from afina.table.encode import Features
from afina.table.numeric import NumberReader
from afina.table.schema import Schema
from afina.table.single_cell import OddCellError, fits_a_table

_ABSENT = object()


class RowEncoder:
    """Turn single rows into arrays; a row is a mapping from column name to cell.

    Args:
        schema: the schema learned from the training rows.
        beside: other columns to ignore if a row has them, such as the target.

    Example:
        >>> from afina.table import CategoryColumn, NumberColumn, NumberFormat
        >>> price = NumberColumn("price", "numeric", "", number=NumberFormat(decimal=","))
        >>> color = CategoryColumn("color", "categorical", "", vocabulary=("blue", "red"))
        >>> encoder = RowEncoder(Schema((price, color)))
        >>> features = encoder.encode({"price": "1,5", "color": "red"})
        >>> features.x_num.tolist(), features.x_cat.tolist()
        ([[1.5]], [[3]])
        >>> encoder.encode({"price": "1,5"})
    """

    def __init__(self, schema: Schema, beside: Iterable[str] = ()) -> None:
        words = schema.missing_values
        self._numbers = [
            (column.name, NumberReader(column, words)) for column in schema.num_columns
        ]
        self._categories = [
            (column.name, CategoryReader(column, words)) for column in schema.cat_columns
        ]
        self._dates = [(column.name, DateReader(column, words)) for column in schema.time_columns]
        self._used = frozenset((*schema.num_names, *schema.cat_names, *schema.time_names))
        self._unused = (schema.names | frozenset(beside)) - self._used

    def encode(self, row: Mapping[str, object]) -> Features | None:
        """Return the arrays of a row; None if the row must be encoded as a table."""
        cell = row.get
        try:
            numbers = [read(cell(name, _ABSENT)) for name, read in self._numbers]
            codes = [read(cell(name, _ABSENT)) for name, read in self._categories]
            times = [read(cell(name, _ABSENT)) for name, read in self._dates]
        except OddCellError:
            return None
        if not row or (len(row) > len(self._used) and not self._may_ignore_rest(row)):
            return None
        return Features(
            np.array([numbers], dtype=np.float64),
            np.array([codes], dtype=np.int64),
            np.array([times], dtype=np.float64),
        )

    def _may_ignore_rest(self, row: Mapping[str, object]) -> bool:
        """Return whether all unused columns have known names and cells that a table could hold."""
        return all(
            name in self._unused and fits_a_table(cell)
            for name, cell in row.items()
            if name not in self._used
        )


def only_row(data: object) -> dict[str, object] | None:
    """Return the cells of a pandas frame with one row; None for anything else.

    Example:
        >>> import pandas as pd
        >>> only_row(pd.DataFrame({"a": [1], "b": ["x"]}))
        {'a': 1, 'b': 'x'}
    """
    if type(data).__module__.partition(".")[0] != "pandas":
        return None
    frame: Any = data
    if frame.ndim != 2 or len(frame) != 1:
        return None
    names = frame.columns.tolist()
    row = dict(zip(names, frame.to_numpy(dtype=object)[0].tolist(), strict=True))
    return row if len(row) == len(names) else None
