"""Decide whether a column holds categories, booleans or free text, and learn its levels."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from afina.table.category.category_column import BOOLEANS, CategoryColumn
from afina.table.cells import Levels, as_mask, is_in, missing_word_mask
from afina.table.column import UnusedColumn
from afina.table.column_context import InferContext
from afina.table.names import count_cells

_MANY_ROWS = 20  # in more rows than this, it is no accident if all values differ
_MANY_TEXTS, _LONG = 100, 20  # levels; characters


def infer_booleans(context: InferContext, levels: Levels) -> CategoryColumn | UnusedColumn | str:
    """Treat a column as booleans if its cells are words for true and false.

    Args:
        context: the column's context; if booleans were requested, 1 and 0 also mean true and false.
        levels: the cells, without the usual words for "missing".

    Returns:
        The column, or an empty string if a cell is any other word.
    """
    words = is_in(pc.utf8_lower(pc.utf8_trim_whitespace(levels.texts)), BOOLEANS)
    if context.requested:
        words |= is_in(levels.texts, ("0", "1", "0.0", "1.0"))
        if not words.all():
            context.refuse(levels, int(np.argmin(words)), "true and false")
    elif not words.all():
        return ""
    missing = levels.codes < 0
    initials = {
        text.strip().lower()[:1].translate({48: "f", 49: "t"}) for text in levels.texts.to_pylist()
    }
    if len(initials) == 1 and not missing.any() and not context.requested:
        only = "true" if "t" in initials else "false"
        return context.ignore(f"every cell is {only}", n_unique=1)
    return CategoryColumn(
        context.name,
        "boolean",
        context.explain("true or false"),
        context.rows.missing_frac(missing),
        len(initials),
        vocabulary=BOOLEANS,
    )


def infer_categories(
    context: InferContext, levels: Levels, reason: str
) -> CategoryColumn | UnusedColumn:
    """Treat a column as categories, free text or an identifier.

    Args:
        levels: the cells.
        reason: why the cells are not numbers or dates; may be empty.
    """
    n_levels = len(levels.texts)
    missing = levels.codes < 0
    missing_frac = context.rows.missing_frac(missing)
    because = f"; {reason}" if reason else ""
    if context.requested == "text":
        why = context.explain("free text is not used yet")
        return UnusedColumn(context.name, "text", why, missing_frac, n_levels)
    if not n_levels and not context.requested:
        return context.ignore("every cell is missing", missing_frac=missing_frac)
    counts = levels.count(context.rows.repeats)
    if not context.requested:
        if n_levels == 1 and not missing.any():
            return context.ignore(f"every cell is {levels.texts[0].as_py()[:60]!r}", n_unique=1)
        if not context.declared and _is_free_text(levels, counts):
            why = f"free text is not used yet: {n_levels} different values{because}"
            return UnusedColumn(context.name, "text", why, missing_frac, n_levels)
        if counts.sum() > _MANY_ROWS and counts.max() <= 1:
            return context.ignore(
                f"an identifier: every value is different{because}",
                missing_frac=missing_frac,
                n_unique=n_levels,
            )
    vocabulary = sorted(levels.texts.filter(pa.array(counts >= context.min_count)).to_pylist())
    if not vocabulary and not context.requested:
        return context.ignore(
            f"no value occurs {context.min_count:g} times{because}",
            missing_frac=missing_frac,
            n_unique=n_levels,
        )
    return CategoryColumn(
        context.name,
        "categorical",
        context.explain(_summarize(context, levels, counts, len(vocabulary)) + because),
        missing_frac,
        n_levels,
        vocabulary=tuple(vocabulary),
    )


def _is_free_text(levels: Levels, counts: NDArray[np.float64]) -> bool:
    n_levels = len(levels.texts)
    if n_levels <= _MANY_TEXTS or n_levels <= 0.5 * counts.sum():
        return False
    has_space = as_mask(pc.match_substring(levels.texts, " "))
    return bool(pc.mean(pc.utf8_length(levels.texts)).as_py() > _LONG or has_space.mean() > 0.5)


def _summarize(
    context: InferContext, levels: Levels, counts: NDArray[np.float64], n_kept: int
) -> str:
    n_levels = len(levels.texts)
    notes = [f"text with {n_levels} level{'s' * (n_levels != 1)}"]
    if n_rare := n_levels - n_kept:
        rare = f"{n_rare} of them in fewer than {context.min_count:g} rows"
        notes.append(f"{rare}, treated as unknown")
    notes += [
        f"{levels.texts[int(at)].as_py()!r} ({count_cells(counts[at])}) is a level like any "
        "other: add it to table.missing_values if it means missing"
        for at in np.flatnonzero(missing_word_mask(levels.texts))
    ]
    return "; ".join(notes)
