"""The column to predict: numbers, or classes that keep their labels letter by letter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table.cells import (
    Levels,
    as_one,
    check_finite,
    describe_type,
    missing_word_mask,
    read_levels,
    typed_numbers,
)
from afina.table.frame import is_number, is_text, is_time
from afina.table.names import list_names, show_cell
from afina.table.numbers import (
    canonical_number,
    find_format,
    has_leading_zero,
    is_infinite,
    parse_numbers,
)

Label = str | int | bool | float
TargetTask = Literal["binary", "multiclass", "regression"]
AskedTask = Literal["auto", "classification", "regression"]
_MOST_WHOLE_CLASSES, _MOST_AUTO_CLASSES = 10, 1000


@dataclass(frozen=True)
class Target:
    """What is to be predicted, row by row.

    Args:
        task: what kind of prediction this asks for.
        values: numbers (NaN where missing), or class codes (-1 where missing). Shape (n_rows,).
        classes: label of each code, as in the table; empty for numbers.
        missing: rows without a target. Shape (n_rows,).
    """

    task: TargetTask
    values: NDArray[np.float64] | NDArray[np.int64]
    classes: tuple[Label, ...]
    missing: NDArray[np.bool_]


@dataclass(frozen=True)
class _Found:
    """A target column as read: levels always, numbers where it is numbers."""

    levels: Levels
    numbers: NDArray[np.float64] | None
    labels: tuple[Label, ...]
    where: str


def read_target(
    column: pa.ChunkedArray,
    *,
    task: AskedTask = "auto",
    name: str,
    source: str,
    missing_values: Sequence[str] = (),
    allow_single: bool = False,
) -> Target:
    """Read the target column and decide what is to be predicted.

    Args:
        column: from `read_table` or `to_table`.
        task: `auto` takes text and booleans, two values and up to ten whole numbers as classes.
        name: the column's name, for messages.
        source: the table's name, for messages.
        missing_values: words that mean "missing".
        allow_single: accept a class that only one row has.

    Raises:
        SchemaError: nothing to predict: all missing, constant, infinite, text where numbers are
            asked for, or a class with a single row.
    """
    where = f"{source}: target {name!r}"
    _check_type(column.type, where)
    found = _read(column, task, where, source, name, tuple(missing_values))
    if task == "regression" or (task == "auto" and not _is_classes(found)):
        return _numbers(found)
    return _classes(found, auto=task == "auto", allow_single=allow_single)


def match_target(
    column: pa.ChunkedArray,
    *,
    task: TargetTask,
    classes: Sequence[Label],
    name: str,
    source: str,
    missing_values: Sequence[str] = (),
) -> Target:
    """Read the target column of another table by the classes that a model learned.

    Raises:
        SchemaError: a label that the model does not know, with its row.
    """
    where = f"{source}: target {name!r}"
    _check_type(column.type, where)
    if task == "regression":
        found = _read(column, "regression", where, source, name, tuple(missing_values))
        return _numbers(found, constant=True)
    found = _read(column, "classification", where, source, name, tuple(missing_values))
    by_text = {_text_of(label): code for code, label in enumerate(classes)}
    by_value = {_value_key(text): code for text, code in by_text.items()}
    codes = []
    for at, text in enumerate(found.levels.texts.to_pylist()):
        code = by_text.get(text, by_value.get(_value_key(text)))
        if code is None:
            known = list_names([_text_of(label) for label in classes])
            raise SchemaError(
                f"{where} must hold labels that the model learned, however: row "
                f"{found.levels.first_row(at) + 1} holds {show_cell(text)}, and it knows {known}."
            )
        codes.append(code)
    values = np.array([*codes, -1], dtype=np.int64)[found.levels.codes]
    return Target(task, values, tuple(classes), found.levels.codes < 0)


def _check_type(kind: pa.DataType, where: str) -> None:
    if is_time(kind):
        raise SchemaError(
            f"{where} must hold numbers or labels, however: it holds dates. Turn them into numbers."
        )
    if not (
        is_text(kind) or is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    ):
        raise SchemaError(f"{where} must hold numbers or labels, however: {describe_type(kind)}.")


def _read(
    column: pa.ChunkedArray,
    task: AskedTask,
    where: str,
    source: str,
    name: str,
    missing_values: tuple[str, ...],
) -> _Found:
    levels = read_levels(column, missing_values)
    if not (levels.codes >= 0).any():
        raise SchemaError(f"{where} must have values, however: every cell is missing.")
    if pa.types.is_boolean(column.type) or is_number(column.type):
        numbers, _ = typed_numbers(column)
        numbers = np.where(levels.codes < 0, np.nan, numbers)
        check_finite(numbers, source=source, name=name, rows=None)
        return _Found(levels, numbers, _typed_labels(column, levels), where)
    found, levels = _text_numbers(levels, task, where)
    return _Found(levels, found, tuple(levels.texts.to_pylist()), where)


def _typed_labels(column: pa.ChunkedArray, levels: Levels) -> tuple[Label, ...]:
    rows = np.zeros(len(levels.texts) + 1, dtype=np.int64)  # the last is that of missing cells
    rows[levels.codes[::-1]] = np.arange(len(levels.codes))[::-1]
    return tuple(as_one(column).take(pa.array(rows[:-1])).to_pylist())


def _text_numbers(
    levels: Levels, task: AskedTask, where: str
) -> tuple[NDArray[np.float64] | None, Levels]:
    """Take text as numbers if every cell is one; a usual word for "missing" then is missing."""
    rest = levels.keep(~missing_word_mask(levels.texts))
    if not len(rest.texts):
        return None, levels
    counts = rest.count(np.ones(len(rest.codes)))
    form, fits = find_format(rest.texts, counts)
    odd = int(np.argmin(fits))
    if not fits.all() and is_infinite(rest.texts)[odd] and counts[fits].sum() > 0:
        raise SchemaError(
            f"{where} must hold finite numbers, however: row {rest.first_row(odd) + 1} holds "
            f"{show_cell(rest.texts[odd].as_py())}. Replace it, or leave the cell empty."
        )
    codes = task != "regression" and has_leading_zero(rest.texts).any()
    if fits.all() and not codes:
        values = parse_numbers(rest.texts, form)[0]
        if np.isinf(values).any():
            row = rest.first_row(int(np.argmax(np.isinf(values)))) + 1
            raise SchemaError(f"{where} must hold finite numbers, however: row {row} is infinite.")
        return rest.spread(values), rest
    mostly = counts[fits].sum() >= 0.5 * counts.sum() and not codes
    if task == "regression" or (task == "auto" and mostly):
        hint = "" if task == "regression" else ", or ask for `--set table.task=classification`"
        raise SchemaError(
            f"{where} must hold numbers{' as asked' * (task == 'regression')}, however: row "
            f"{rest.first_row(odd) + 1} holds {show_cell(rest.texts[odd].as_py())}. "
            f"Correct the cell, or leave it empty{hint}."
        )
    return None, levels


def _is_classes(found: _Found) -> bool:
    if found.numbers is None or isinstance(found.labels[0], bool):
        return True
    distinct = np.unique(found.numbers[~np.isnan(found.numbers)])
    whole = bool((distinct == np.floor(distinct)).all())
    return len(distinct) == 2 or (whole and len(distinct) <= _MOST_WHOLE_CLASSES)


def _numbers(found: _Found, *, constant: bool = False) -> Target:
    if found.numbers is None:
        word = found.levels.texts[0].as_py()
        raise SchemaError(
            f"{found.where} must hold numbers for a regression, however: it holds text such as "
            f"{show_cell(word)}. Use `--set table.task=classification`."
        )
    missing = np.isnan(found.numbers)
    low = float(np.min(found.numbers[~missing]))
    if not constant and low == float(np.max(found.numbers[~missing])):
        raise SchemaError(f"{found.where} must vary, however: every value is {low:g}.")
    return Target("regression", found.numbers, (), missing)


def _classes(found: _Found, *, auto: bool, allow_single: bool) -> Target:
    levels = found.levels
    merged, labels = _merge_equal_numbers(found)
    counts = np.bincount(merged[merged >= 0], minlength=len(labels))
    if len(labels) < 2:
        raise SchemaError(
            f"{found.where} must have two classes or more, however: every value is {labels[0]!r}."
        )
    if auto and len(labels) > _MOST_AUTO_CLASSES and len(labels) > 0.5 * counts.sum():
        raise SchemaError(
            f"{found.where} must be something to predict, however: it holds {len(labels)} different "
            f"texts in {counts.sum()} rows, such as {show_cell(levels.texts[0].as_py())}. "
            "Name another target column."
        )
    single = np.flatnonzero(counts == 1)
    if len(single) and not allow_single:
        row = int(np.argmax(merged == single[0])) + 1
        others = len(single) - 1
        more = f" (and {others} more class{'es' * (others > 1)} like it)" if others else ""
        numbers = auto and found.numbers is not None
        hint = ", or ask for `--set table.task=regression`" if numbers else ""
        raise SchemaError(
            f"{found.where} must have two rows or more of each class, however: only row {row} has "
            f"{labels[single[0]]!r}{more}. "
            f"Leave the row out, or join it to another class{hint}."
        )
    order = _sorted_labels(labels)
    place = np.empty(len(labels) + 1, dtype=np.int64)
    place[order] = np.arange(len(labels))
    place[-1] = -1
    codes = place[merged]
    task: TargetTask = "binary" if len(labels) == 2 else "multiclass"
    return Target(task, codes, tuple(labels[at] for at in order), codes < 0)


def _merge_equal_numbers(found: _Found) -> tuple[NDArray[np.int64], list[Label]]:
    """Return equal numbers written differently, such as 1 and 1.0, one class: the first spelling."""
    if found.numbers is None:
        return found.levels.codes, list(found.labels)
    first: dict[str, int] = {}
    labels: list[Label] = []
    places = []
    for text, label in zip(found.levels.texts.to_pylist(), found.labels, strict=True):
        key = canonical_number(text.strip()) or text
        if key not in first:
            first[key] = len(labels)
            labels.append(label)
        places.append(first[key])
    return np.array([*places, -1], dtype=np.int64)[found.levels.codes], labels


def _sorted_labels(labels: Sequence[Label]) -> list[int]:
    """Sort by value where all labels are numbers, by text where not."""
    texts = [_text_of(label) for label in labels]
    numbers = [canonical_number(text.strip()) for text in texts]
    values = [_exact(number) for number in numbers if number is not None]
    if len(values) == len(labels):
        return sorted(range(len(labels)), key=values.__getitem__)
    return sorted(range(len(labels)), key=texts.__getitem__)


def _exact(number: str) -> int | float:
    return int(number) if number.lstrip("-").isdigit() else float(number)


def _value_key(text: str) -> str:
    """Write a label so that 1 and 1.0, True and true meet."""
    word = text.strip()
    lower = word.lower()
    return lower if lower in ("true", "false") else canonical_number(word) or text


def _text_of(label: Label) -> str:
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, float) and label.is_integer() and abs(label) < 2**63:
        return str(int(label))
    return str(label)
