"""What a column is encoded by besides its cells, and what happens to cells that do not fit."""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table.cells import describe_type, is_infinite, missing_word_mask
from afina.table.names import count_cells, show_cell

_MOST_BAD = 0.05  # share of a validation column's cells that may be taken as missing


@dataclass(frozen=True)
class EncodeContext:
    """One column to encode.

    Args:
        name: the column's.
        source: the table's, for messages.
        tolerant: take few cells that do not fit as missing.
        missing_values: words that mean "missing" in every column.
        notes: collects a sentence for each column with cells that were taken as missing.
    """

    name: str
    source: str
    tolerant: bool
    missing_values: tuple[str, ...]
    notes: list[str]

    def refuse_type(self, kind: pa.DataType, content: str) -> NoReturn:
        """Raise the error of a column of another type.

        Args:
            kind: its type.
            content: what it must hold.
        """
        raise SchemaError(
            f"{self.source}: column {self.name!r} must hold {content}",
            got=describe_type(kind),
            fix="Convert it to what the training table held.",
        )

    def check_cells(
        self,
        texts: pa.Array,
        fits: NDArray[np.bool_],
        content: str,
        missing_words: tuple[str, ...] = (),
    ) -> None:
        """Raise at the first cell that neither fits nor is missing, or note a few in tolerant mode.

        Args:
            texts: the cells.
            fits: which of them are what the column holds.
            content: what the column holds.
            missing_words: words that mean "missing" in this column only.
        """
        others = np.flatnonzero(~fits)
        if not len(others):
            return
        words = (*missing_words, *self.missing_values)
        bad = others[~missing_word_mask(texts.take(others), words)]
        if not len(bad):
            return
        first = f"row {bad[0] + 1} holds {show_cell(texts[int(bad[0])].as_py())}"
        n_values = fits.sum() + len(bad)
        infinite = is_infinite(texts.take(bad)).any()
        if self.tolerant and not infinite and len(bad) <= max(1, _MOST_BAD * n_values):
            self.notes.append(
                f"column {self.name!r}: {count_cells(len(bad))} taken as missing because not "
                f"{content} ({first})"
            )
            return
        more = f" (and {count_cells(len(bad) - 1)} more)" if len(bad) > 1 else ""
        raise SchemaError(
            f"{self.source}: column {self.name!r} must hold {content}",
            but=f"{first}{more}",
            fix="Correct it, or leave the cell empty.",
        )
