"""The rows of one column that a rule may look at: training rows, and nothing else."""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table.cells import Levels
from afina.table.column import Column, Kind
from afina.table.names import show_cell


@dataclass(frozen=True)
class Rows:
    """The rows looked at.

    Args:
        numbers: their row numbers in the table, from 0. Shape (n_rows,).
        repeats: how often each counts in the vocabulary: its weight where all weights are whole
            (a weight of 2 is the row twice), else 1.
        weights: their weights, all above 0.
    """

    numbers: NDArray[np.int64]
    repeats: NDArray[np.float64]
    weights: NDArray[np.float64]

    def missing_frac(self, missing: NDArray[np.bool_]) -> float:
        """Weigh the missing rows, as a share of all."""
        return float(self.weights[missing].sum() / self.weights.sum()) if missing.any() else 0.0


@dataclass(frozen=True)
class Looked:
    """One column as the rules see it.

    Args:
        name: the column's.
        source: the table's, for messages.
        rows: which rows of the table these are.
        asked: the kind the user asked for; None: find it.
        missing_values: words that mean "missing" in every column.
        min_count: least count of a level with a code of its own.
    """

    name: str
    source: str
    rows: Rows
    asked: Kind | None
    missing_values: tuple[str, ...]
    min_count: float

    def ignored(self, why: str, *, missing_frac: float = 0.0, n_unique: int = 0) -> Column:
        """Leave the column out, and say why."""
        return Column(self.name, "ignored", why, missing_frac, n_unique)

    def row(self, levels: Levels, level: int) -> int:
        """Number (from 1) of the first row that holds a level."""
        return int(self.rows.numbers[levels.first_row(level)]) + 1

    def example(self, levels: Levels, level: int) -> str:
        """Quote a level and its first row."""
        return f"{show_cell(levels.texts[level].as_py())} (row {self.row(levels, level)})"

    def refuse(self, levels: Levels, level: int, wanted: str) -> NoReturn:
        """Raise the error of a column that cannot be what was asked."""
        raise SchemaError(
            f"{self.source}: column {self.name!r} must hold {wanted} as asked, however: row "
            f"{self.row(levels, level)} holds {show_cell(levels.texts[level].as_py())}. "
            f"Correct the cell, or drop `--kind {self.name}={self.asked}`."
        )

    def as_asked(self, why: str) -> str:
        """Add to a sentence that the kind was asked for, if it was."""
        return f"{why}; {self.asked}, as asked" if self.asked else why


def count_cells(count: float) -> str:
    """Write a number of cells."""
    return "1 cell" if count == 1 else f"{count:.0f} cells"
