"""The cells of one column: distinct values, codes, and which cells are missing or infinite."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from afina.table.frame import cell_text, is_number, is_text, is_time
from afina.table.names import show_cell

MISSING_WORDS = (
    *("na", "n/a", "#na", "#n/a", "#n/a n/a", "<na>", "nan", "-nan", "nat", "null", "none"),
    *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "?", "-", "."),
)
"""Words that mean "missing" among numbers, dates and booleans, in upper or lower case; in text
columns they are values. The list includes every word that pandas and polars write or read as
missing."""

_INFINITE = r"^(?i)[+-]?inf(inity)?$"


@dataclass(frozen=True)
class Levels:
    """A column's distinct cells as text.

    Args:
        texts: distinct cells, in the order of their first rows.
        codes: the index of each row's cell in `texts`; -1 for a missing cell. Shape (n_rows,).
    """

    texts: pa.Array
    codes: NDArray[np.int64]

    def count(self, repeats: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count the rows of each level; `repeats` is the number of times that each row counts."""
        has_level = self.codes >= 0
        return np.bincount(self.codes[has_level], repeats[has_level], len(self.texts)).astype(
            np.float64
        )

    def keep(self, mask: NDArray[np.bool_]) -> "Levels":
        """Keep only some levels; cells of the others become missing."""
        if mask.all():
            return self
        place = np.append(np.where(mask, np.cumsum(mask) - 1, -1), -1)
        return Levels(self.texts.filter(pa.array(mask)), place[self.codes])

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value of each row, given a value for each level; NaN for a missing cell."""
        return np.append(values, np.nan)[self.codes]

    def show(self, level: int) -> str:
        """Return a level as messages show it."""
        return show_cell(self.texts[int(level)].as_py())

    def first_row(self, level: int) -> int:
        """Return the first row (from 0) that holds a level."""
        return int(np.argmax(self.codes == level))


def as_one(column: pa.ChunkedArray) -> pa.Array:
    """Join a column's chunks; text that exceeds 2 GB gets 64-bit offsets first."""
    if column.num_chunks == 1:
        return column.chunk(0)
    if pa.types.is_string(column.type) and column.nbytes > 2**31 - 1:
        column = column.cast(pa.large_string())
    return column.combine_chunks()


def as_texts(column: pa.ChunkedArray) -> pa.Array:
    """Join the chunks of a text column; a missing cell becomes an empty string."""
    texts = as_one(column)
    return texts.fill_null("") if texts.null_count else texts


def as_mask(matches: pa.Array) -> NDArray[np.bool_]:
    """Convert a boolean Arrow array to numpy; null becomes false."""
    return np.asarray(matches.to_numpy(zero_copy_only=False), dtype=bool)


def read_levels(column: pa.ChunkedArray, missing_values: Sequence[str] = ()) -> Levels:
    """Return the distinct cells of a column of any type as text; empty cells count as missing."""
    if pa.types.is_null(column.type):
        return Levels(pa.array([], pa.string()), np.full(len(column), -1))
    coded = as_one(column).dictionary_encode()
    texts = coded.dictionary
    codes = to_codes(coded.indices)
    if is_time(texts.type):
        texts = pa.array([_short_time(text) for text in texts.cast(pa.string()).to_pylist()])
    elif not is_text(texts.type):
        texts = pa.array([cell_text(cell) for cell in texts.to_pylist()], pa.string())
    if not is_text(column.type):  # two values, such as 0.0 and -0.0, may share a spelling
        shared = texts.dictionary_encode()
        texts, codes = shared.dictionary, np.append(to_codes(shared.indices), -1)[codes]
    if not missing_values and pc.index(texts, "").as_py() < 0:
        return Levels(texts, codes)
    return Levels(texts, codes).keep(~is_in(texts, ("", *missing_values)))


def to_codes(indices: pa.Array) -> NDArray[np.int64]:
    """Convert dictionary indices to integers; -1 for null."""
    filled = indices.fill_null(-1) if indices.null_count else indices
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.int64)


def is_in(texts: pa.Array, words: tuple[str, ...]) -> NDArray[np.bool_]:
    """Mark the text values that are among the words."""
    return as_mask(pc.is_in(texts, _word_array(words, texts.type)))


@cache
def _word_array(words: tuple[str, ...], kind: pa.DataType) -> pa.Array:
    return pa.array(words, kind)


def missing_word_mask(texts: pa.Array, words: Sequence[str] = ()) -> NDArray[np.bool_]:
    """Mark text that means "missing" among numbers and dates: usual words, blanks and `words`."""
    trimmed = pc.utf8_trim_whitespace(texts)
    usual = is_in(pc.ascii_lower(trimmed), ("", *MISSING_WORDS))
    return usual | is_in(trimmed, tuple(words)) if words else usual


def is_missing_word(text: str) -> bool:
    """Return whether text is blank or one of the usual words for "missing"."""
    word = text.strip()
    return not word or (word.isascii() and word.lower() in MISSING_WORDS)


def is_infinite(texts: pa.Array) -> NDArray[np.bool_]:
    """Mark the text values that spell infinity."""
    return as_mask(pc.match_substring_regex(pc.utf8_trim_whitespace(texts), _INFINITE))


def describe_type(kind: pa.DataType) -> str:
    """Describe a column's type for a message."""
    words = {
        "text": is_text,
        "numbers": is_number,
        "dates": is_time,
        "booleans": pa.types.is_boolean,
    }
    return next((word for word, is_of_type in words.items() if is_of_type(kind)), str(kind))


def _short_time(text: str) -> str:
    """Drop trailing zeros of fractional seconds, and the time of day if it is midnight."""
    head, point, tail = text.partition(".")
    zone = tail.lstrip("0123456789")
    fraction = tail.removesuffix(zone).rstrip("0")
    return (head + point * bool(fraction) + fraction + zone).removesuffix(" 00:00:00")
