"""What a table's columns are, learned from its training rows and from nothing else."""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from afina.errors import SchemaError
from afina.table.category_rule import describe_categories, try_booleans
from afina.table.cells import Levels, missing_word_mask, read_levels
from afina.table.column import KINDS, Column, Kind
from afina.table.date_rule import describe_typed_dates, try_text_dates
from afina.table.dates import ISO
from afina.table.frame import is_number, is_time
from afina.table.looked import Looked, Rows
from afina.table.names import did_you_mean
from afina.table.numbers import PLAIN, all_plain
from afina.table.numeric_rule import try_text_numbers, try_typed_numbers
from afina.table.schema import Schema

_WANTED = {"numeric": "numbers", "boolean": "true and false", "datetime": "dates"}
_RULES: tuple[tuple[Kind, Callable[[Looked, Levels], Column | str]], ...] = (
    ("boolean", try_booleans),
    ("numeric", try_text_numbers),
    ("datetime", try_text_dates),
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
) -> Schema:
    """Learn what each column is from the rows given; no other row changes a byte of it.

    Args:
        table: from `read_table` or `to_table`.
        rows: row numbers to learn from, from 0; None: all.
        weights: of all rows of the table, at least 0; a whole weight of 2 is the row twice, a
            weight of 0 is no row. Shape (n_rows,).
        kinds: kind by column name, where the rules would find another.
        missing_values: words that mean "missing" in every column.
        min_count: least count of a level that gets a code of its own.
        skip: columns that are no features: target, group, weight.
        source: the table's name in messages.

    Raises:
        SchemaError: an infinite number, or a kind that does not exist or fit.
    """
    features = [name for name in table.column_names if name not in skip]
    _check_kinds(kinds, features)
    seen = _look_at(table, rows, weights)
    part = table.select(features)
    if len(seen.numbers) < table.num_rows:
        part = part.take(pa.array(seen.numbers))  # from here on there are no other rows
    words = tuple(dict.fromkeys(missing_values))
    columns = [
        infer_column(column, Looked(name, source, seen, kinds.get(name), words, min_count))
        for name, column in zip(features, part.columns, strict=True)
    ]
    return Schema(tuple(columns), words)


def infer_column(column: pa.ChunkedArray, look: Looked) -> Column:
    """Learn what one column is; docs/design/schema.md has the rules in their order."""
    asked, kind = look.asked, column.type
    if asked == "ignored":
        return look.ignored("ignored, as asked")
    if is_time(kind) and asked in (None, "datetime"):
        return describe_typed_dates(look, column)
    if is_time(kind) and asked in ("numeric", "boolean"):
        raise SchemaError(
            f"{look.source}: column {look.name!r} must hold {_WANTED[asked]} as asked, however: it "
            f"holds dates. Drop `--kind {look.name}={asked}`."
        )
    numbers = is_number(kind) or (asked == "numeric" and pa.types.is_boolean(kind))
    if numbers and asked in (None, "numeric"):
        found = try_typed_numbers(look, column)
        if found:
            return found
    return _infer_levels(look, read_levels(column, look.missing_values))


def _infer_levels(look: Looked, levels: Levels) -> Column:
    if look.asked is None and len(levels.texts) and all_plain(levels.texts):
        found = try_text_numbers(look, levels)
        return found if isinstance(found, Column) else describe_categories(look, levels, found)
    rest = levels.keep(~missing_word_mask(levels.texts))
    if not len(rest.texts) and look.asked in _WANTED:
        return _without_values(look)
    reason = ""
    if len(rest.texts) and look.asked not in ("categorical", "text"):
        for kind, rule in _RULES:
            answer = rule(look, rest) if look.asked in (None, kind) else ""
            if isinstance(answer, Column):
                return answer
            reason = reason or answer
    return describe_categories(look, levels, reason)


def _without_values(look: Looked) -> Column:
    return Column(
        look.name,
        look.asked or "ignored",
        look.as_asked("every cell is missing"),
        missing_frac=1.0,
        vocabulary=("false", "true") if look.asked == "boolean" else (),
        number=PLAIN if look.asked == "numeric" else None,
        date_format=ISO if look.asked == "datetime" else None,
    )


def _look_at(table: pa.Table, rows: ArrayLike | None, weights: ArrayLike | None) -> Rows:
    n_rows = table.num_rows
    numbers = np.arange(n_rows) if rows is None else np.asarray(rows, dtype=np.int64)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < n_rows:
        raise ValueError(
            f"rows must be in [0, {n_rows}), however: {numbers.min()=}, {numbers.max()=}."
        )
    weight = np.ones(n_rows) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (n_rows,) or not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError(
            f"weights must be finite, at least 0 and one for each of the {n_rows} rows, however: "
            f"shape={weight.shape}, smallest={weight.min(initial=0)}."
        )
    numbers = numbers[weight[numbers] > 0]  # a weight of 0 is no row
    if not len(numbers):
        raise SchemaError("a table must have rows to learn from, however: it has none.")
    weight = weight[numbers]
    whole = bool((weight == np.floor(weight)).all())
    return Rows(numbers, weight if whole else np.ones(len(weight)), weight)


def _check_kinds(kinds: Mapping[str, Kind], features: Sequence[str]) -> None:
    for name, kind in kinds.items():
        if name not in features:
            raise SchemaError(
                f"a kind must be given for a column of the table, however: {name!r} is none of its "
                f"{len(features)} feature columns.{did_you_mean(name, features)}"
            )
        if kind not in KINDS:
            raise SchemaError(
                f"the kind of column {name!r} must be one of {', '.join(KINDS)}, however: "
                f"{kind!r} came.{did_you_mean(str(kind), KINDS)}"
            )
