"""Learn a table's schema from its training rows, and from nothing else."""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from afina.declaration import suggest_choice
from afina.errors import SchemaError
from afina.table.category import BOOLEANS, CategoryColumn, infer_booleans, infer_categories
from afina.table.cells import Levels, missing_word_mask, read_levels
from afina.table.column import KINDS, Column, Kind
from afina.table.column_context import InferContext, TrainingRows
from afina.table.date import DateColumn, infer_text_dates, infer_typed_dates
from afina.table.declared import is_declared_category
from afina.table.frame import is_number, is_text, is_time
from afina.table.names import count_cells, did_you_mean, set_kind
from afina.table.numeric import (
    NumberColumn,
    all_plain,
    infer_text_numbers,
    infer_typed_numbers,
)
from afina.table.schema import AnyColumn, Schema

_CONTENT = {"numeric": "numbers", "boolean": "true and false", "datetime": "dates"}
_RULES: tuple[tuple[Kind, Callable[[InferContext, Levels], AnyColumn | str]], ...] = (
    ("boolean", infer_booleans),
    ("numeric", infer_text_numbers),
    ("datetime", infer_text_dates),
)
_NO_KINDS: Mapping[str, Kind] = MappingProxyType({})


def infer_schema(
    table: pa.Table,
    *,
    rows: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    kinds: Mapping[str, Kind] = _NO_KINDS,
    missing_values: Sequence[str] = (),
    min_count: float = 2,
    skip: Collection[str] = (),
    source: str = "the table",
    notes: list[str] | None = None,
) -> Schema:
    """Learn the kind of each column from the given rows; no other row affects the result.

    Args:
        table: a table from `read_table` or `to_table`.
        rows: numbers of the rows to learn from, counted from 0. None: all rows.
        weights: weight of each row of the table, at least 0; if all weights are whole, a weight of
            2 counts the row twice; a weight of 0 leaves it out. Shape (n_rows,).
        kinds: kinds of columns by name, to override inferred ones.
        missing_values: words that mean "missing" in every column.
        min_count: least number of rows that a level needs to get its own code.
        skip: columns that are not features: target, group, weight.
        source: the table's name for messages.
        notes: receives a sentence for each decision that the user may want to change.

    Raises:
        SchemaError: a number is infinite, or a kind does not exist or does not fit.
    """
    features = [name for name in table.column_names if name not in skip]
    _check_kinds(kinds, features, source)
    training_rows = _select_rows(table, rows, weights, source)
    part = table.select(features)
    if len(training_rows.numbers) < table.num_rows:
        part = part.take(pa.array(training_rows.numbers))  # the other rows are gone from here on
    words = tuple(dict.fromkeys(missing_values))
    notes = [] if notes is None else notes
    declared = [is_declared_category(field) for field in part.schema]
    columns = [
        infer_column(
            column,
            InferContext(
                name, source, training_rows, kinds.get(name), words, min_count, category, notes
            ),
        )
        for name, column, category in zip(features, part.columns, declared, strict=True)
    ]
    return Schema(tuple(columns), words)


def infer_column(column: pa.ChunkedArray, context: InferContext) -> AnyColumn:
    """Learn the kind of one column; docs/design/schema.md lists the rules in order."""
    requested, kind = context.requested, column.type
    if requested == "ignored":
        return context.ignore("ignored, as requested")
    _note_two_blanks(context, column)
    if context.declared and requested is None:
        levels = read_levels(column, context.missing_values)
        plain = is_text(kind) and not all_plain(levels.texts)
        return infer_categories(context, levels, "" if plain else "declared as categories")
    if is_time(kind) and requested in (None, "datetime"):
        return infer_typed_dates(context, column)
    if is_time(kind) and requested in ("numeric", "boolean"):
        raise SchemaError(
            f"{context.source}: column {context.name!r} must hold {_CONTENT[requested]} as "
            "requested",
            got="dates",
            fix=f"Leave out {set_kind(context.name, requested)}.",
        )
    numbers = is_number(kind) or (requested == "numeric" and pa.types.is_boolean(kind))
    inferred = None
    if numbers and requested in (None, "numeric"):
        inferred = infer_typed_numbers(context, column)
    return inferred or _infer_levels(context, read_levels(column, context.missing_values))


def _infer_levels(context: InferContext, levels: Levels) -> AnyColumn:
    if context.requested is None and len(levels.texts) and all_plain(levels.texts):
        inferred = infer_text_numbers(context, levels)
        return (
            infer_categories(context, levels, inferred) if isinstance(inferred, str) else inferred
        )
    present = levels.keep(~missing_word_mask(levels.texts))
    if not len(present.texts) and context.requested in _CONTENT:
        return _without_values(context)
    reason = ""
    if len(present.texts) and context.requested not in ("categorical", "text"):
        for kind, rule in _RULES:
            outcome = rule(context, present) if context.requested in (None, kind) else ""
            if isinstance(outcome, Column):
                return outcome
            reason = reason or outcome
    return infer_categories(context, levels, reason)


def _note_two_blanks(context: InferContext, column: pa.ChunkedArray) -> None:
    """Note that a column holds both empty text and nulls, which are all treated as missing."""
    n_null = column.null_count
    if not n_null or not is_text(column.type):
        return
    n_empty = pc.sum(pc.equal(column, "")).as_py() or 0
    if n_empty:
        context.note(
            f"{count_cells(n_empty)} with empty text and {n_null:,} without a value are all "
            "treated as missing"
        )


def _without_values(context: InferContext) -> AnyColumn:
    """Record a column of the requested kind that has no value."""
    name, why = context.name, context.explain("every cell is missing")
    if context.requested == "numeric":
        return NumberColumn(name, "numeric", why, missing_frac=1.0)
    if context.requested == "datetime":
        return DateColumn(name, "datetime", why, missing_frac=1.0)
    return CategoryColumn(name, "boolean", why, missing_frac=1.0, vocabulary=BOOLEANS)


def _select_rows(
    table: pa.Table, rows: ArrayLike | None, weights: ArrayLike | None, source: str
) -> TrainingRows:
    n_rows = table.num_rows
    numbers = np.arange(n_rows) if rows is None else np.asarray(rows, dtype=np.int64)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < n_rows:
        raise ValueError(
            f"rows must be in [0, {n_rows}); got rows from {numbers.min()} to {numbers.max()}."
        )
    weight = np.ones(n_rows) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (n_rows,) or not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError(
            f"weights must be finite, at least 0 and one for each of the {n_rows} rows; got "
            f"shape={weight.shape}, smallest={weight.min(initial=0)}."
        )
    numbers = numbers[weight[numbers] > 0]  # a weight of 0 leaves the row out
    if not len(numbers):
        raise SchemaError(
            f"{source} must have rows to learn from",
            but="there are none, or all have weight 0",
            fix="Pass rows with a weight above 0.",
        )
    weight = weight[numbers]
    whole = (weight == np.floor(weight)).all()
    return TrainingRows(numbers, weight if whole else np.ones(len(weight)), weight)


def _check_kinds(kinds: Mapping[str, Kind], features: Sequence[str], source: str) -> None:
    for name, kind in kinds.items():
        if name not in features:
            raise SchemaError(
                f"{source}: a kind can only be requested for a feature column",
                but=f"none of the {len(features)} feature columns is named {name!r}",
                fix=did_you_mean(name, features).strip() or "`afina inspect` lists the columns.",
            )
        if kind not in KINDS:
            raise SchemaError(
                f"the kind of column {name!r} must be one of {', '.join(KINDS)}",
                got=repr(kind),
                fix=suggest_choice(kind, KINDS) or None,
            )
