"""split.json: how each row of the table was assigned, in a compact, documented format.

A mask holds one bit per row, compressed by zlib and encoded in base64 (row 0 is the highest bit of
the first byte; the last byte is padded with zeros). Rows are numbered from 0 in the table's order;
a row in neither mask was left out.
"""

from typing import Annotated, Literal

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from afina.records.json_record import Text

MAX_ROWS = 2**36


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """The assignment of a table's rows.

    Args:
        how: a sentence that describes the split.
        n_rows: number of rows of the table.
        train: mask of the training rows.
        val: mask of the validation rows. None: they are a separate table, or there are folds.
        folds: the fold of each training row, in order: one byte each, counted from 0, compressed
            and encoded like a mask. None: there are no folds, and the key is absent.
        sha256: digest of `n_rows` in decimal digits, followed by the raw bytes of the masks,
            training rows first, and of the folds.
    """

    format: Literal[1] = 1
    how: Text
    n_rows: Annotated[int, Strict(), Field(ge=0, lt=MAX_ROWS)]
    train: Text
    val: Text | None
    folds: Annotated[Text | None, Field(exclude_if=lambda folds: folds is None)] = None
    sha256: Text
