"""Decide whether a column holds numbers, and learn their format and range."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.table.cells import Levels, is_infinite
from afina.table.column import UnusedColumn
from afina.table.column_context import InferContext
from afina.table.names import count_cells, set_kind
from afina.table.numeric.codes import look_like_codes
from afina.table.numeric.exact_numbers import (
    blank_marked,
    check_finite,
    exceeds_int64,
    infinite_error,
    typed_numbers,
    whole_cells,
    whole_if_exact,
)
from afina.table.numeric.number_column import NumberColumn
from afina.table.numeric.number_format import (
    PLAIN,
    NumberFormat,
    find_format,
    has_leading_zero,
    is_ambiguous,
    parse_numbers,
)

_LEAST_SHARE, _MOST_WORDS, _MANY_ROWS = 0.95, 5, 20
_EXACT = 2**53  # beyond it, float64 does not represent every integer


def infer_typed_numbers(
    context: InferContext, column: pa.ChunkedArray
) -> NumberColumn | UnusedColumn | None:
    """Treat a numeric or boolean column as numbers; None if they exceed int64."""
    values, whole = typed_numbers(column)
    if whole is None and pa.types.is_integer(column.type):
        return None
    return _describe(context, values, whole, PLAIN)


def infer_text_numbers(context: InferContext, levels: Levels) -> NumberColumn | UnusedColumn | str:
    """Treat text cells as numbers, or return why they are not numbers.

    Args:
        levels: the cells, without the usual words for "missing".

    Returns:
        The column, or the reason, which is empty if hardly any cell is a number.
    """
    counts = levels.count(context.rows.repeats)
    form, fits = find_format(levels.texts, counts)
    others = np.flatnonzero(~fits)
    share = counts[fits].sum() / counts.sum()
    few = len(others) <= _MOST_WORDS and fits.any()
    if context.requested and not few:
        context.refuse(levels, int(others[0]), "numbers")
    if not context.requested and (share < _LEAST_SHARE or not few):
        reason = f"not numbers, because of {context.quote(levels, int(others[0]))}"
        return reason if share >= 0.5 else ""
    if len(others):
        _refuse_infinite(context, levels, others)
    values, _, plain = parse_numbers(levels.texts, form)
    whole = _read_whole(values, plain, fits)
    if not context.requested:
        reason = _why_codes(context, levels, fits)
        if not reason and whole is None and np.abs(values[fits]).max() >= 2.0**63:
            reason = _why_too_long(context, levels, fits, plain)
        if reason:
            return reason
    notes = [
        f"{levels.show(int(at))} ({count_cells(counts[at])}, first in row "
        f"{context.row_number(levels, int(at))}) is treated as missing"
        for at in others
    ]
    if is_ambiguous(levels.texts.filter(pa.array(fits)), form):
        notes.append("each comma could also be a decimal comma")
    words = tuple(sorted(levels.texts[int(at)].as_py() for at in others))
    per_row = None if whole is None else np.append(whole, 0)[levels.codes]
    return _describe(context, levels.spread(values), per_row, form, words, notes)


def _read_whole(
    values: NDArray[np.float64], plain: pa.Array, fits: NDArray[np.bool_]
) -> NDArray[np.int64] | None:
    """Read numbers as exact integers; None if one has a fraction or exceeds int64."""
    numbers = values[fits]
    if (numbers != np.floor(numbers)).any():
        return None
    whole, exact = whole_cells(plain)
    return whole if exact[fits].all() else None


def _why_codes(context: InferContext, levels: Levels, fits: NDArray[np.bool_]) -> str:
    """Return why cells that look like numbers are codes; empty if they are numbers."""
    zeros = has_leading_zero(levels.texts) & fits
    example = context.quote(levels, int(np.argmax(zeros)))
    return f"codes, because of the leading zero of {example}" if zeros.any() else ""


def _why_too_long(
    context: InferContext, levels: Levels, fits: NDArray[np.bool_], plain: pa.Array
) -> str:
    """Return a note if whole numbers are too long to be exact; empty if some have a fraction."""
    long = exceeds_int64(plain)
    if long.any() and (long | whole_cells(plain)[1])[fits].all():
        return f"read as text because {context.quote(levels, int(np.argmax(long)))} exceeds 64 bits"
    return ""


def _refuse_infinite(context: InferContext, levels: Levels, others: NDArray[np.int64]) -> None:
    for at in others[is_infinite(levels.texts.take(others))]:
        raise infinite_error(
            f"{context.source}: column {context.name!r}",
            f"row {context.row_number(levels, at)} holds {levels.show(at)}",
        )


def _describe(
    context: InferContext,
    values: NDArray[np.float64],
    whole: NDArray[np.int64] | None,
    form: NumberFormat,
    words: tuple[str, ...] = (),
    notes: list[str] | None = None,
) -> NumberColumn | UnusedColumn:
    """Learn the range, the offset, and whether all are whole from each row's number or NaN."""
    check_finite(values, source=context.source, name=context.name, rows=context.rows.numbers)
    values = blank_marked(values, context.missing_values)
    missing = np.isnan(values)
    missing_frac = context.rows.missing_frac(missing)
    if whole is None:
        whole = whole_if_exact(values)
    exact = None if whole is None else whole[~missing]
    distinct = np.unique(values[~missing] if exact is None else exact)
    if not context.requested and (why := _why_ignored(context, distinct, exact, missing)):
        return context.ignore(why, missing_frac=missing_frac, n_unique=len(distinct))
    if not context.requested and exact is not None and look_like_codes(context.name, exact):
        context.note(
            f"the whole numbers look like codes; if they are, use {set_kind(context.name, 'categorical')}"
        )
    low, high = (distinct[0], distinct[-1]) if len(distinct) else (None, None)
    offset = int(exact.min()) if exact is not None and _is_huge(exact) else 0
    return NumberColumn(
        context.name,
        "numeric",
        context.explain(_summarize(form, low, high, offset, notes or [], whole=exact is not None)),
        missing_frac,
        len(distinct),
        minimum=None if low is None else float(low),
        maximum=None if high is None else float(high),
        integer=exact is not None,
        number=form,
        offset=offset,
        missing_words=words,
    )


def _is_huge(whole: NDArray[np.int64]) -> bool:
    return len(whole) > 0 and max(-int(whole.min()), int(whole.max())) > _EXACT


def _why_ignored(
    context: InferContext,
    distinct: NDArray[np.generic],
    exact: NDArray[np.int64] | None,
    missing: NDArray[np.bool_],
) -> str:
    if not len(distinct):
        return "every cell is missing"
    if missing.any():
        return ""
    if len(distinct) == 1:
        return f"every cell is {_show(distinct[0])}"
    rows = context.rows.numbers
    if exact is None or len(exact) <= _MANY_ROWS or not 0 <= exact[0] - rows[0] <= 1:
        return ""
    return "" if np.ptp(exact - rows) else "a row number: each cell is the number of its row"


def _summarize(
    form: NumberFormat, low: object, high: object, offset: int, notes: list[str], *, whole: bool
) -> str:
    kind = f"{'whole ' * whole}{form.describe()}"
    if low is None:
        kind = "no cell has a value"
    elif low == high:
        kind = f"{kind}: {_show(low)} or missing"
    else:
        kind = f"{kind}{',' * (form != PLAIN)} from {_show(low)} to {_show(high)}"
    if offset:
        notes = [*notes, f"counted from {offset}, so that differences of 1 stay exact"]
    return "; ".join([kind, *notes])


def _show(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
