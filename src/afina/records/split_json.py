"""split.json: which row of the table went where, small, and readable by a written rule.

A mask is base64 of zlib of one bit a row (row 0 is the highest bit of the first byte; the last
byte is filled up with zeros). Rows count from 0 in the table's order; a row in neither mask was
left out.
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
        how: the rule, as a sentence.
        n_rows: rows of the table.
        train: mask of the training rows.
        val: mask of the validation rows. None: they are a table of their own, or there are folds.
        folds: base64 of zlib of one byte for each training row, in order: its fold, from 0. None:
            there are no folds, and no such key.
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
