"""A table's cells as numbers and codes, by the schema that was learned from training rows."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.errors import AfinaWarning, SchemaError
from afina.table.cells import (
    MISSING_WORDS,
    Levels,
    as_one,
    check_finite,
    describe_type,
    missing_word_mask,
    read_levels,
    typed_numbers,
)
from afina.table.column import MISSING, UNKNOWN, Column
from afina.table.dates import COMPACT, ISO, ISO_OFFSET, parse_dates, typed_seconds
from afina.table.frame import is_number, is_text, is_time
from afina.table.looked import count_cells
from afina.table.names import did_you_mean, list_names, show_cell
from afina.table.numbers import (
    PLAIN,
    canonical_number,
    is_infinite,
    missing_numbers,
    parse_numbers,
    whole_cells,
)
from afina.table.schema import Schema

_MOST_BAD = 0.05  # share of cells of a validation column that may be taken as missing
_MANY_CELLS = 20  # from here on, a column without any known level is no accident


@dataclass(frozen=True)
class Features:
    """Rows as arrays; columns by kind, in the order of the schema.

    Args:
        x_num: numbers, less the column's offset; NaN is missing. Shape (n_rows, n_num).
        x_cat: codes: 0 missing, 1 unknown, then the vocabulary in order. Shape (n_rows, n_cat).
        x_time: seconds since 1970 in UTC; NaN is missing. Shape (n_rows, n_time).
        notes: what was taken as missing in tolerant mode, a sentence a column.
    """

    x_num: NDArray[np.float64]
    x_cat: NDArray[np.int64]
    x_time: NDArray[np.float64]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Job:
    """One column to encode: what the schema says, where it comes from, how strict to be."""

    column: Column
    source: str
    tolerant: bool
    missing_values: tuple[str, ...]
    notes: list[str]

    def refuse_type(self, came: pa.DataType, wanted: str) -> NoReturn:
        """Raise the error of a column of another type."""
        raise SchemaError(
            f"{self.source}: column {self.column.name!r} must hold {wanted}, however: it holds "
            f"{describe_type(came)}. Convert it to what the training table held."
        )


def encode(table: pa.Table, schema: Schema, *, source: str, tolerant: bool = False) -> Features:
    """Turn rows into arrays; columns are found by name, in any order.

    Args:
        table: from `read_table` or `to_table`.
        schema: what the training rows held.
        source: the table's name in messages.
        tolerant: take cells that do not parse as missing where they are few (5 % of a column, or
            one), and say so in `notes`; for the validation rows of the same fit.

    Raises:
        SchemaError: a column that is not there, or a cell that is no number or date where one
            must be, or an infinite number: with source, row (from 1), column and cell.
    """
    _check_columns(table, schema, source, tolerant=tolerant)
    notes: list[str] = []

    n_rows = table.num_rows
    x_num = np.empty((n_rows, len(schema.num_columns)))
    x_cat = np.empty((n_rows, len(schema.cat_columns)), dtype=np.int64)
    x_time = np.empty((n_rows, len(schema.time_columns)))
    for at, column in enumerate(schema.num_columns):
        job = _Job(column, source, tolerant, schema.missing_values, notes)
        x_num[:, at] = _encode_numbers(job, table.column(column.name))
    for at, column in enumerate(schema.cat_columns):
        job = _Job(column, source, tolerant, schema.missing_values, notes)
        x_cat[:, at] = _encode_categories(job, table.column(column.name))
    for at, column in enumerate(schema.time_columns):
        job = _Job(column, source, tolerant, schema.missing_values, notes)
        x_time[:, at] = _encode_dates(job, table.column(column.name))
    return Features(x_num, x_cat, x_time, tuple(notes))


def _check_columns(table: pa.Table, schema: Schema, source: str, *, tolerant: bool) -> None:
    names = table.column_names
    here = set(names)
    if len(here) < len(names):
        raise SchemaError(f"{source}: column names must differ. Use afina.table.to_table first.")
    used = (*schema.num_columns, *schema.cat_columns, *schema.time_columns)
    absent = [column.name for column in used if column.name not in here]
    if absent:
        hint = did_you_mean(absent[0], here - schema.names) if len(absent) == 1 else ""
        raise SchemaError(
            f"{source}: the table must have every column that the model learned from, however: "
            f"{list_names(absent)} {'is' if len(absent) == 1 else 'are'} not there.{hint}"
        )
    extra = [name for name in names if name not in schema.names]
    if extra and not tolerant:
        warnings.warn(
            f"{source}: {list_names(extra)} {'was' if len(extra) == 1 else 'were'} not in the "
            "training table and will not be used.",
            AfinaWarning,
            stacklevel=3,
        )


def _encode_numbers(job: _Job, column: pa.ChunkedArray) -> NDArray[np.float64]:
    offset = job.column.offset
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if is_number(kind) or pa.types.is_boolean(kind):
        values, whole = typed_numbers(column)
        exact = np.ones(len(values), dtype=bool) if whole is not None else None
        if offset and whole is None:
            exact = (values == np.floor(values)) & (np.abs(values) < 2.0**63)
            whole = np.where(exact, values, 0.0).astype(np.int64)
    elif is_text(kind):
        form = job.column.number or PLAIN
        texts = _texts(column)
        values, fits, plain = parse_numbers(texts, form)
        _refuse_or_note(job, texts, fits, form.describe())
        whole, exact = whole_cells(plain) if offset else (None, None)
    else:
        job.refuse_type(kind, "numbers")
    check_finite(values, source=job.source, name=job.column.name, rows=None)
    marked = missing_numbers(job.missing_values)
    if marked:
        values = np.where(np.isin(values, marked), np.nan, values)
    if offset and whole is not None and exact is not None:
        return _subtract(values, whole, exact, offset)
    return values


def _subtract(
    values: NDArray[np.float64], whole: NDArray[np.int64], exact: NDArray[np.bool_], offset: int
) -> NDArray[np.float64]:
    """Take the offset off in whole numbers; in floats where a cell is none or int64 overflows."""
    difference = whole - np.int64(offset)
    overflows = ((whole ^ np.int64(offset)) & (whole ^ difference)) < 0
    exact = exact & ~overflows & ~np.isnan(values)
    return np.where(exact, difference.astype(np.float64), values - float(offset))


def _texts(column: pa.ChunkedArray) -> pa.Array:
    texts = as_one(column)
    return texts.fill_null("") if texts.null_count else texts


def _encode_dates(job: _Job, column: pa.ChunkedArray) -> NDArray[np.float64]:
    form, kind = job.column.date_format or ISO, column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if is_time(kind):
        zoned = pa.types.is_timestamp(kind) and kind.tz is not None
        if zoned != (form == ISO_OFFSET):
            job.refuse_type(kind, f"times with{'out' * zoned} an offset from UTC")
        return typed_seconds(as_one(column))
    if is_text(kind):
        texts = _texts(column)
    elif pa.types.is_integer(kind) and form == COMPACT:
        texts = as_one(column).cast(pa.string()).fill_null("")
    else:
        job.refuse_type(kind, f"dates written {form}")
    seconds, fits = parse_dates(texts, form)
    _refuse_or_note(job, texts, fits, f"dates written {form}")
    return seconds


def _refuse_or_note(job: _Job, texts: pa.Array, fits: NDArray[np.bool_], wanted: str) -> None:
    """Raise at the first cell that is neither what it must be nor missing; or note a few."""
    others = np.flatnonzero(~fits)
    if not len(others):
        return
    words = (*job.column.missing_words, *job.missing_values)
    bad = others[~missing_word_mask(texts.take(others), words)]
    if not len(bad):
        return
    first = f"row {bad[0] + 1} holds {show_cell(texts[int(bad[0])].as_py())}"
    n_values = fits.sum() + len(bad)
    infinite = is_infinite(texts.take(bad)).any()
    if job.tolerant and not infinite and len(bad) <= max(1, _MOST_BAD * n_values):
        job.notes.append(
            f"column {job.column.name!r}: {count_cells(len(bad))} taken as missing, for they are "
            f"no {wanted} ({first})"
        )
        return
    more = f" (and {count_cells(len(bad) - 1)} more)" if len(bad) > 1 else ""
    raise SchemaError(
        f"{job.source}: column {job.column.name!r} must hold {wanted}, however: {first}{more}. "
        "Correct it, or leave the cell empty."
    )


def _encode_categories(job: _Job, column: pa.ChunkedArray) -> NDArray[np.int64]:
    levels = read_levels(column, job.missing_values)
    texts = levels.texts.to_pylist()
    if job.column.kind == "boolean":
        codes = [boolean_code(text) for text in texts]
    elif pa.types.is_boolean(column.type):
        codes = [code_of_bool(job.column, text) for text in texts]
    else:
        known, numbers = job.column.codes, job.column.number_codes
        codes = [known.get(text, UNKNOWN) for text in texts]
        if numbers and UNKNOWN in codes:
            codes = [
                numbers.get(canonical_number(text) or "", UNKNOWN) if code == UNKNOWN else code
                for text, code in zip(texts, codes, strict=True)
            ]
    _warn_of_strangers(job, column, levels, codes)
    return np.array([*codes, MISSING], dtype=np.int64)[levels.codes]


def boolean_code(text: str) -> int:
    """Return the code of a text in a column of booleans."""
    word = text.strip()
    if word in MISSING_WORDS or not word:
        return MISSING
    return {"false": 2, "true": 3, "0": 2, "1": 3}.get(
        canonical_number(word) or word.lower(), UNKNOWN
    )


def code_of_bool(column: Column, text: str) -> int:
    """Return the code of true or false in a column of categories, however true is written there."""
    number = "1" if text == "true" else "0"
    spellings = (text, text.capitalize(), text.upper(), number)
    found = (column.codes.get(spelling, UNKNOWN) for spelling in spellings)
    return next((code for code in found if code != UNKNOWN), UNKNOWN)


def _warn_of_strangers(
    job: _Job, column: pa.ChunkedArray, levels: Levels, codes: Sequence[int]
) -> None:
    """Say that a whole column is unknown: most often codes that lost their zeros on the way."""
    if not codes or not job.column.vocabulary or set(codes) != {UNKNOWN} or job.tolerant:
        return
    retyped = not is_text(column.type)
    if not retyped and np.count_nonzero(levels.codes >= 0) < _MANY_CELLS:
        return
    came = f" as {describe_type(column.type)}" if retyped else ""
    warnings.warn(
        f"{job.source}: no value of column {job.column.name!r} is known to the model, for instance "
        f"{show_cell(levels.texts[0].as_py())}{came}; it learned {show_cell(job.column.vocabulary[0])} "
        "and its like. All are taken as unknown.",
        AfinaWarning,
        stacklevel=4,
    )
