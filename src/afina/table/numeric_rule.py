"""When a column is numbers, and what is learned of them."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table.cells import Levels, check_finite, typed_numbers, whole_if_exact
from afina.table.column import Column
from afina.table.looked import Looked, count_cells
from afina.table.names import show_cell
from afina.table.numbers import (
    PLAIN,
    NumberFormat,
    exceeds_int64,
    find_format,
    has_leading_zero,
    is_ambiguous,
    is_infinite,
    missing_numbers,
    parse_numbers,
    whole_cells,
)

_LEAST_SHARE, _MOST_WORDS, _MANY_ROWS = 0.95, 5, 20
_EXACT = 2**53  # from here on, float64 cannot tell every two whole numbers apart


def try_typed_numbers(look: Looked, column: pa.ChunkedArray) -> Column | None:
    """Take a column of numbers or booleans as numbers; None where they exceed int64."""
    values, whole = typed_numbers(column)
    if whole is None and pa.types.is_integer(column.type):
        return None
    return _describe(look, values, whole, PLAIN, ())


def try_text_numbers(look: Looked, levels: Levels) -> Column | str:
    """Take a column's cells as numbers, or say why they are none.

    Args:
        look: the column.
        levels: its cells without the usual words for "missing".

    Returns:
        The column; or the reason, empty where hardly any cell is a number.
    """
    counts = levels.count(look.rows.repeats)
    form, fits = find_format(levels.texts, counts)
    others = np.flatnonzero(~fits)
    share = counts[fits].sum() / counts.sum()
    few = len(others) <= _MOST_WORDS and fits.any()
    if look.asked and not few:
        look.refuse(levels, int(others[0]), "numbers")
    if not look.asked and (share < _LEAST_SHARE or not few):
        return (
            f"not numbers, because of {look.example(levels, int(others[0]))}"
            if share >= 0.5
            else ""
        )
    if len(others):
        _refuse_infinite(look, levels, others)
    values, _, plain = parse_numbers(levels.texts, form)
    whole = _whole(values, plain, fits)
    if not look.asked:
        reason = _why_codes(look, levels, fits)
        if not reason and whole is None and np.abs(values[fits]).max() >= 2.0**63:
            reason = _why_too_long(look, levels, fits, plain)
        if reason:
            return reason
    words = tuple(sorted(levels.texts[int(at)].as_py() for at in others))
    notes = [
        f"{show_cell(levels.texts[int(at)].as_py())} ({count_cells(counts[at])}, first in row "
        f"{look.row(levels, int(at))}) is taken as missing"
        for at in others
    ]
    if is_ambiguous(levels.texts.filter(pa.array(fits)), form):
        notes.append("each comma could also be a decimal comma")
    per_row = None if whole is None else np.append(whole, 0)[levels.codes]
    return _describe(look, levels.spread(values), per_row, form, words, notes)


def _whole(
    values: NDArray[np.float64], plain: pa.Array, fits: NDArray[np.bool_]
) -> NDArray[np.int64] | None:
    """Read numbers as exact integers; None where one has a fraction or exceeds int64."""
    here = values[fits]
    if (here != np.floor(here)).any():
        return None
    whole, exact = whole_cells(plain)
    return whole if exact[fits].all() else None


def _why_codes(look: Looked, levels: Levels, fits: NDArray[np.bool_]) -> str:
    """Say why numbers in form are codes in truth; empty where they are not."""
    zeros = has_leading_zero(levels.texts) & fits
    if zeros.any():
        return (
            f"codes, because of the leading zero of {look.example(levels, int(np.argmax(zeros)))}"
        )
    return ""


def _why_too_long(look: Looked, levels: Levels, fits: NDArray[np.bool_], plain: pa.Array) -> str:
    """Say that whole numbers are too long to keep exactly; empty where some have a fraction."""
    long = exceeds_int64(plain)
    if long.any() and (long | whole_cells(plain)[1])[fits].all():
        return f"beyond 64 bits, as {look.example(levels, int(np.argmax(long)))}, so taken as text"
    return ""


def _refuse_infinite(look: Looked, levels: Levels, others: NDArray[np.int64]) -> None:
    for at in others[is_infinite(levels.texts.take(others))]:
        raise SchemaError(
            f"{look.source}: column {look.name!r} must hold finite numbers, however: row "
            f"{look.row(levels, int(at))} holds {show_cell(levels.texts[int(at)].as_py())}. "
            "Replace it, or leave the cell empty."
        )


def _describe(
    look: Looked,
    values: NDArray[np.float64],
    whole: NDArray[np.int64] | None,
    form: NumberFormat,
    words: tuple[str, ...],
    notes: list[str] | None = None,
) -> Column:
    """Learn range, wholeness and offset from the numbers of all rows (NaN where missing)."""
    check_finite(values, source=look.source, name=look.name, rows=look.rows.numbers)
    marked = missing_numbers(look.missing_values)
    if marked:
        values = np.where(np.isin(values, marked), np.nan, values)
    missing = np.isnan(values)
    missing_frac = look.rows.missing_frac(missing)
    here = values[~missing]
    if whole is None:
        whole = whole_if_exact(values)
    exact = None if whole is None else whole[~missing]
    distinct = np.unique(here if exact is None else exact)
    if not look.asked:
        why = _why_ignored(look, distinct, exact, missing)
        if why:
            return look.ignored(why, missing_frac=missing_frac, n_unique=len(distinct))
    low, high = (distinct[0], distinct[-1]) if len(distinct) else (None, None)
    offset = int(exact.min()) if exact is not None and _is_huge(exact) else 0
    return Column(
        look.name,
        "numeric",
        look.as_asked(_say(form, low, high, offset, notes or [], whole=exact is not None)),
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
    look: Looked,
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
    if exact is None or len(exact) <= _MANY_ROWS or not 0 <= exact[0] - look.rows.numbers[0] <= 1:
        return ""
    if np.ptp(exact - look.rows.numbers) == 0:
        return "a row number: each cell is the number of its row"
    return ""


def _say(
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
