"""One row as users pass it: a mapping, a pandas row, or a named tuple."""

from collections.abc import Mapping, Sequence
from typing import Any

from afina.errors import TableError
from afina.table import list_names, only_row


def name_cells(row: Any, names: Sequence[str]) -> Mapping[str, object]:
    """Return the cells of a row by column name; leave a mapping unchanged.

    Args:
        row: a mapping, a pandas series or frame of one row, or a named tuple.
        names: names of the columns, for the message.

    Raises:
        TableError: the cells have no names, or there are several rows.

    Example:
        >>> import pandas as pd
        >>> name_cells(pd.DataFrame({"a": [1], "b": ["x"]}).iloc[0], ["a", "b"])
        {'a': 1, 'b': 'x'}
    """
    if isinstance(row, Mapping):
        return row
    if isinstance(row, tuple):
        cells = row._asdict() if hasattr(row, "_asdict") else None
    elif type(row).__module__.partition(".")[0] == "pandas" and row.ndim == 1:
        cells = row.to_dict()
    else:
        cells = only_row(row)
    if cells is None:
        raise TableError(
            "a row must be a mapping of column names to cells",
            got=f"a {type(row).__name__}",
            fix=f"Pass a cell for each of {list_names(names)}, or use predict for tables.",
        )
    return {str(name): cell for name, cell in cells.items()}
