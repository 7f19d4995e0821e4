"""What the inference and encoding of a column depend on besides its cells."""

from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table.cells import Levels, describe_type, is_infinite, missing_word_mask
from afina.table.column import Kind, UnusedColumn
from afina.table.names import count_cells, set_kind, show_cell


@dataclass(frozen=True)
class TrainingRows:
    """The rows from which inference may learn.

    Args:
        numbers: row numbers in the table, from 0. Shape (n_rows,).
        repeats: number of times that each row counts in the vocabulary: its weight if all weights
            are whole numbers (a weight of 2 counts the row twice), otherwise 1.
        weights: weight of each row, above 0.
    """

    numbers: NDArray[np.int64]
    repeats: NDArray[np.float64]
    weights: NDArray[np.float64]

    def missing_frac(self, missing: NDArray[np.bool_]) -> float:
        """Return the share of rows with a missing cell, by weight."""
        return float(self.weights[missing].sum() / self.weights.sum()) if missing.any() else 0.0


@dataclass(frozen=True)
class InferContext:
    """A column whose kind is to be inferred.

    Args:
        name: name of the column.
        source: name of the table, for messages.
        rows: the rows of the table to learn from.
        requested: the kind that the user requested. None: infer it.
        missing_values: words that mean "missing" in every column.
        min_count: least number of rows that a level needs to get its own code.
        declared: whether the frame or file declares the column as categorical.
        notes: collects a sentence for each decision that the user may want to change.
    """

    name: str
    source: str
    rows: TrainingRows
    requested: Kind | None
    missing_values: tuple[str, ...]
    min_count: float
    declared: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Add a note on the column."""
        self.notes.append(f"column {self.name!r}: {sentence}")

    def ignore(self, why: str, *, missing_frac: float = 0.0, n_unique: int = 0) -> UnusedColumn:
        """Return a record that leaves the column out and says why."""
        return UnusedColumn(self.name, "ignored", why, missing_frac, n_unique)

    def row_number(self, levels: Levels, level: int) -> int:
        """Return the number (from 1) of the first row that holds a level."""
        return int(self.rows.numbers[levels.first_row(level)]) + 1

    def quote(self, levels: Levels, level: int) -> str:
        """Quote a level and name its first row."""
        return f"{levels.show(level)} (row {self.row_number(levels, level)})"

    def refuse(self, levels: Levels, level: int, content: str) -> NoReturn:
        """Raise an error: the column cannot have the requested kind.

        Args:
            content: what a column of that kind holds, such as `numbers`.
        """
        raise SchemaError(
            f"{self.source}: column {self.name!r} must hold {content} as requested",
            but=f"row {self.row_number(levels, level)} holds {levels.show(level)}",
            fix=f"Correct the cell, or leave out {set_kind(self.name, str(self.requested))}.",
        )

    def explain(self, why: str) -> str:
        """Add "as requested" to a sentence if the user requested the kind."""
        return f"{why}; {self.requested}, as requested" if self.requested else why


_MOST_BAD = 0.05  # share of a validation column's cells that may be treated as missing


@dataclass(frozen=True)
class EncodeContext:
    """A column to encode.

    Args:
        name: name of the column.
        source: name of the table, for messages.
        tolerant: treat a few cells that do not fit as missing.
        missing_values: words that mean "missing" in every column.
        notes: collects a sentence for each column with cells that were treated as missing.
    """

    name: str
    source: str
    tolerant: bool
    missing_values: tuple[str, ...]
    notes: list[str]

    def refuse_type(self, kind: pa.DataType, content: str) -> NoReturn:
        """Raise an error: the column has the wrong type.

        Args:
            kind: the type of the column.
            content: what the column must hold.
        """
        raise SchemaError(
            f"{self.source}: column {self.name!r} must hold {content}",
            got=describe_type(kind),
            fix="Convert it to the type in the training table.",
        )

    def check_cells(
        self,
        texts: pa.Array,
        fits: NDArray[np.bool_],
        content: str,
        missing_words: tuple[str, ...] = (),
    ) -> None:
        """Raise for the first cell that neither fits nor is missing; if tolerant, only note a few.

        Args:
            texts: the cells, as text.
            fits: which cells are valid for the column.
            content: what the column holds.
            missing_words: words that mean "missing" in this column only.
        """
        others = np.flatnonzero(~fits)
        if not len(others):
            return
        bad = others[~missing_word_mask(texts.take(others), (*missing_words, *self.missing_values))]
        if not len(bad):
            return
        first = f"row {bad[0] + 1} holds {show_cell(texts[int(bad[0])].as_py())}"
        n_values = fits.sum() + len(bad)
        infinite = is_infinite(texts.take(bad)).any()
        if self.tolerant and not infinite and len(bad) <= max(1, _MOST_BAD * n_values):
            self.notes.append(
                f"column {self.name!r}: {count_cells(len(bad))} treated as missing because the "
                f"column must hold {content} ({first})"
            )
            return
        more = f" (and {count_cells(len(bad) - 1)} more)" if len(bad) > 1 else ""
        raise SchemaError(
            f"{self.source}: column {self.name!r} must hold {content}",
            but=f"{first}{more}",
            fix="Correct it, or leave the cell empty.",
        )
