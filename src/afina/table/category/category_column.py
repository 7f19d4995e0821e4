"""The record of a categorical column, and how columns and single cells become codes."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.errors import AfinaWarning
from afina.table.cells import Levels, describe_type, is_missing_word, read_levels
from afina.table.column import Column, Texts
from afina.table.column_context import EncodeContext
from afina.table.frame import cell_text, is_text
from afina.table.names import count_cells, show_cell
from afina.table.numeric import canonical_number
from afina.table.single_cell import PLAIN_TYPES, OddCellError, as_python, check_range, is_encodable

MISSING, UNKNOWN, FIRST_LEVEL = 0, 1, 2
"""Codes of cells: missing, unknown, and the first level of the vocabulary."""

BOOLEANS = ("false", "true")
"""The vocabulary of a boolean column."""


@dataclass(frozen=True)
class CategoryColumn(Column):
    """A categorical or boolean column.

    Args:
        vocabulary: the levels that have their own code, sorted.
    """

    kind: Literal["categorical", "boolean"]
    vocabulary: Texts = ()

    @cached_property
    def codes(self) -> dict[str, int]:
        """The code of each level, exactly as written."""
        return {level: code for code, level in enumerate(self.vocabulary, FIRST_LEVEL)}

    @cached_property
    def number_codes(self) -> dict[str, int]:
        """Codes of numeric levels by canonical spelling, without spellings that levels share."""
        by_number: dict[str, int] = {}
        shared: set[str] = set()
        for level, code in self.codes.items():
            number = canonical_number(level)
            if number is not None and by_number.setdefault(number, code) != code:
                shared.add(number)
        return {number: code for number, code in by_number.items() if number not in shared}


_MANY_CELLS = 20  # with this many cells, it is no accident if none has a known level


def encode_categories(
    column: CategoryColumn, cells: pa.ChunkedArray, context: EncodeContext
) -> NDArray[np.int64]:
    """Turn cells into codes: 0 for missing, 1 for unknown, then the vocabulary in order."""
    levels = read_levels(cells, context.missing_values)
    texts = levels.texts.to_pylist()
    if column.kind == "boolean":
        codes = [_boolean_code(text) for text in texts]
    elif pa.types.is_boolean(cells.type):
        codes = [_code_of_bool(column, text) for text in texts]
    else:
        known, numbers = column.codes, column.number_codes
        codes = [known.get(text, UNKNOWN) for text in texts]
        if numbers and UNKNOWN in codes:
            codes = [
                numbers.get(canonical_number(text) or "", UNKNOWN) if code == UNKNOWN else code
                for text, code in zip(texts, codes, strict=True)
            ]
    fault = "" if context.tolerant else unknown_fault(column, cells.type, levels, codes)
    if fault:
        warnings.warn(f"{context.source}: {fault}", AfinaWarning, stacklevel=4)
    return np.array([*codes, MISSING], dtype=np.int64)[levels.codes]


def _boolean_code(text: str) -> int:
    """Return the code of a text value in a boolean column."""
    if is_missing_word(text):
        return MISSING
    word = text.strip()
    return {"false": 2, "true": 3, "0": 2, "1": 3}.get(
        canonical_number(word) or word.lower(), UNKNOWN
    )


def _code_of_bool(column: CategoryColumn, text: str) -> int:
    """Return the code of true or false in a categorical column, as the column spells it."""
    spellings = (text, text.capitalize(), text.upper(), "1" if text == "true" else "0")
    return next((column.codes[word] for word in spellings if word in column.codes), UNKNOWN)


def unknown_fault(
    column: CategoryColumn, kind: pa.DataType, levels: Levels, codes: Sequence[int]
) -> str:
    """Return a message if all values are unknown or codes have lost leading zeros, otherwise "".

    Args:
        column: the column as learned.
        kind: the type of its cells.
        levels: its distinct cells.
        codes: the code of each level.
    """
    if not column.vocabulary or UNKNOWN not in codes:
        return ""
    lost = _lost_zeros(column, levels, codes)
    if lost or set(codes) != {UNKNOWN}:
        return lost
    retyped = not is_text(kind)
    if not retyped and np.count_nonzero(levels.codes >= 0) < _MANY_CELLS:
        return ""
    as_type = f" (stored as {describe_type(kind)})" if retyped else ""
    return (
        f"the model does not know any value of column {column.name!r}, whose first value is "
        f"{levels.show(0)}{as_type}; in training, the column held values such as "
        f"{show_cell(column.vocabulary[0])}. All are treated as unknown."
    )


def _lost_zeros(column: CategoryColumn, levels: Levels, codes: Sequence[int]) -> str:
    """Return a message if unknown values are known ones without leading zeros, otherwise ""."""
    padded = {level.lstrip("0"): level for level in column.vocabulary if level.startswith("0")}
    texts = levels.texts.to_pylist()
    lost = [at for at, code in enumerate(codes) if code == UNKNOWN and texts[at] in padded]
    if not lost:
        return ""
    n_cells = int(np.isin(levels.codes, lost).sum())
    text = texts[lost[0]]
    return (
        f"{count_cells(n_cells)} of column {column.name!r} "
        f"{'has' if n_cells == 1 else 'have'} lost leading zeros, such as {show_cell(text)} for "
        f"{show_cell(padded[text])}, and {'is' if n_cells == 1 else 'are'} treated as unknown. "
        "Read and write the column as text."
    )


class CategoryReader:
    """Read one cell of a categorical column, as `encode_categories` would."""

    def __init__(self, column: CategoryColumn, missing_values: tuple[str, ...]) -> None:
        self.column = column
        self.codes = column.codes | dict.fromkeys(("", *missing_values), MISSING)

    def __call__(self, cell: object) -> int:
        """Read a cell, or raise `OddCellError`."""
        cell = cell if type(cell) in PLAIN_TYPES else as_python(cell)
        if isinstance(cell, str):
            code = self._code(cell)
            if code == UNKNOWN and not is_encodable(cell):
                raise OddCellError
            return code
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return MISSING
        if not isinstance(cell, bool | int | float):
            raise OddCellError
        text = cell_text(cell if isinstance(cell, float) else check_range(cell))
        if isinstance(cell, bool) and self.column.kind != "boolean" and text not in self.codes:
            code = _code_of_bool(self.column, text)
        else:
            code = self._code(text)
        if code == UNKNOWN:  # worth a warning
            raise OddCellError
        return code

    def _code(self, text: str) -> int:
        if self.column.kind == "boolean":
            return MISSING if self.codes.get(text) == MISSING else _boolean_code(text)
        code = self.codes.get(text)
        if code is None:
            numbers = self.column.number_codes
            code = numbers.get(canonical_number(text) or "", UNKNOWN) if numbers else UNKNOWN
        return code
