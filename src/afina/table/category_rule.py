"""When a column is categories, booleans or free text, and what is learned of them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from afina.table.cells import MISSING_WORDS, Levels, boolean_mask
from afina.table.column import Column
from afina.table.looked import Looked, count_cells

_MANY_ROWS = 20  # from here on, values that all differ are no accident
_MANY_TEXTS, _LONG = 100, 20  # levels; letters


def try_booleans(look: Looked, levels: Levels) -> Column | str:
    """Take a column of the words true and false as booleans.

    Args:
        look: the column; asked for as boolean, 1 and 0 are true and false too.
        levels: its cells without the usual words for "missing".

    Returns:
        The column; or the empty text where a cell is another word.
    """
    words = boolean_mask(levels.texts)
    if look.asked:
        ones = pc.is_in(levels.texts, pa.array(["0", "1", "0.0", "1.0"], levels.texts.type))
        words |= np.asarray(ones.to_numpy(zero_copy_only=False))
        if not words.all():
            look.refuse(levels, int(np.argmin(words)), "true and false")
    elif not words.all():
        return ""
    missing = levels.codes < 0
    lower = {
        text.strip().lower()[:1].translate({48: "f", 49: "t"}) for text in levels.texts.to_pylist()
    }
    missing_frac = look.rows.missing_frac(missing)
    if len(lower) == 1 and not missing.any() and not look.asked:
        return look.ignored(f"every cell is {'true' if 't' in lower else 'false'}", n_unique=1)
    return Column(
        look.name,
        "boolean",
        look.as_asked("true or false"),
        missing_frac,
        len(lower),
        vocabulary=("false", "true"),
    )


def describe_categories(look: Looked, levels: Levels, reason: str) -> Column:
    """Take a column as categories, free text or an identifier.

    Args:
        look: the column.
        levels: its cells.
        reason: why it is no numbers or dates; may be empty.
    """
    n_levels = len(levels.texts)
    missing = levels.codes < 0
    missing_frac = look.rows.missing_frac(missing)
    because = f"; {reason}" if reason else ""
    if look.asked == "text":
        why = look.as_asked("free text is not used yet")
        return Column(look.name, "text", why, missing_frac, n_levels)
    if not n_levels and not look.asked:
        return look.ignored("every cell is missing", missing_frac=missing_frac)
    counts = levels.count(look.rows.repeats)
    if not look.asked:
        if n_levels == 1 and not missing.any():
            return look.ignored(f"every cell is {levels.texts[0].as_py()[:60]!r}", n_unique=1)
        if _is_free_text(levels, counts):
            why = f"free text is not used yet: {n_levels} different texts{because}"
            return Column(look.name, "text", why, missing_frac, n_levels)
        if counts.sum() > _MANY_ROWS and counts.max() <= 1:
            why = f"an identifier: every value is different{because}"
            return look.ignored(why, missing_frac=missing_frac, n_unique=n_levels)
    vocabulary = sorted(levels.texts.filter(pa.array(counts >= look.min_count)).to_pylist())
    if not vocabulary and not look.asked:
        why = f"no value occurs {look.min_count:g} times{because}"
        return look.ignored(why, missing_frac=missing_frac, n_unique=n_levels)
    why = _say(look, levels, counts, len(vocabulary)) + because
    return Column(
        look.name,
        "categorical",
        look.as_asked(why),
        missing_frac,
        n_levels,
        vocabulary=tuple(vocabulary),
    )


def _is_free_text(levels: Levels, counts: NDArray[np.float64]) -> bool:
    n_levels = len(levels.texts)
    if n_levels <= _MANY_TEXTS or n_levels <= 0.5 * counts.sum():
        return False
    if pc.mean(pc.utf8_length(levels.texts)).as_py() > _LONG:
        return True
    return bool(pc.mean(pc.match_substring(levels.texts, " ").cast(pa.int8())).as_py() > 0.5)


def _say(look: Looked, levels: Levels, counts: NDArray[np.float64], n_kept: int) -> str:
    n_levels = len(levels.texts)
    notes = [f"text with {n_levels} level{'s' * (n_levels != 1)}"]
    if n_kept < n_levels:
        notes.append(
            f"{n_levels - n_kept} of them in fewer than {look.min_count:g} rows, taken as unknown"
        )
    words = pc.is_in(levels.texts, pa.array(MISSING_WORDS, levels.texts.type))
    notes += [
        f"{levels.texts[int(at)].as_py()!r} ({count_cells(counts[at])}) is a level like any "
        "other: name it in table.missing_values if it means missing"
        for at in np.flatnonzero(words.to_numpy(zero_copy_only=False))
    ]
    return "; ".join(notes)
