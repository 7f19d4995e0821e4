"""What the rules that infer a column's kind get besides its cells."""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table.cells import Levels
from afina.table.column import Kind, UnusedColumn
from afina.table.names import show_cell


@dataclass(frozen=True)
class TrainingRows:
    """The rows that the rules may see.

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
class InferContext:
    """One column as the rules see it.

    Args:
        name: the column's.
        source: the table's, for messages.
        rows: which rows of the table these are.
        requested: the kind that the user requested; None: infer it.
        missing_values: words that mean "missing" in every column.
        min_count: least count of a level with a code of its own.
    """

    name: str
    source: str
    rows: TrainingRows
    requested: Kind | None
    missing_values: tuple[str, ...]
    min_count: float

    def ignore(self, why: str, *, missing_frac: float = 0.0, n_unique: int = 0) -> UnusedColumn:
        """Leave the column out, and say why."""
        return UnusedColumn(self.name, "ignored", why, missing_frac, n_unique)

    def row_number(self, levels: Levels, level: int) -> int:
        """Return the number (from 1) of the first row that holds a level."""
        return int(self.rows.numbers[levels.first_row(level)]) + 1

    def quote(self, levels: Levels, level: int) -> str:
        """Quote a level and name its first row."""
        return f"{show_cell(levels.texts[level].as_py())} (row {self.row_number(levels, level)})"

    def refuse(self, levels: Levels, level: int, content: str) -> NoReturn:
        """Raise the error of a column that cannot be of the requested kind.

        Args:
            content: what a column of that kind holds, such as `numbers`.
        """
        cell = show_cell(levels.texts[level].as_py())
        raise SchemaError(
            f"{self.source}: column {self.name!r} must hold {content} as requested",
            but=f"row {self.row_number(levels, level)} holds {cell}",
            fix=f"Correct the cell, or drop `--kind {self.name}={self.requested}`.",
        )

    def explain(self, why: str) -> str:
        """Add to a sentence that the kind was requested, if it was."""
        return f"{why}; {self.requested}, as asked" if self.requested else why
