"""The target: numbers, or classes whose labels stay exactly as written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.errors import SchemaError
from afina.table.cells import (
    Levels,
    as_one,
    describe_type,
    is_infinite,
    missing_word_mask,
    read_levels,
)
from afina.table.frame import cell_text, is_number, is_text
from afina.table.label import Label, find_classes, sort_labels
from afina.table.names import list_names
from afina.table.numeric import (
    canonical_number,
    check_finite,
    find_format,
    has_leading_zero,
    infinite_error,
    parse_numbers,
    typed_numbers,
)
from afina.table.similar_labels import notes_on_labels

TargetTask = Literal["binary", "multiclass", "regression"]
RequestedTask = Literal["auto", "classification", "binary", "multiclass", "regression"]
_Reading = Literal["auto", "classification", "regression"]
_MOST_WHOLE_CLASSES, _MOST_AUTO_CLASSES = 10, 1000
_MOST_DOUBTFUL = 30  # up to this many distinct whole numbers, either reading is plausible
_AS_CLASSES = "`--task classification` (in Python: AfinaClassifier)"
_AS_NUMBERS = "`--task regression` (in Python: AfinaRegressor)"


@dataclass(frozen=True)
class Target:
    """The targets of all rows.

    Args:
        task: what to predict: one of two classes, one of several, or a number.
        values: numbers (NaN where missing), or class codes (-1 where missing). Shape (n_rows,).
        classes: label of each code, as in the table; empty for regression.
        missing: rows without a target. Shape (n_rows,).
        note: why the target became classes or numbers, if both were possible; otherwise empty.
        notes: sentences on labels that look alike.
    """

    task: TargetTask
    values: NDArray[np.float64] | NDArray[np.int64]
    classes: tuple[Label, ...]
    missing: NDArray[np.bool_]
    note: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _TargetColumn:
    """A target column, as read.

    Args:
        levels: the column's distinct cells.
        numbers: the column's numbers. None: it holds labels.
        labels: the label of each level.
        where: table and column, for messages.
    """

    levels: Levels
    numbers: NDArray[np.float64] | None
    labels: tuple[Label, ...]
    where: str


def read_target(
    column: pa.ChunkedArray,
    *,
    task: RequestedTask = "auto",
    name: str,
    source: str,
    missing_values: Sequence[str] = (),
    allow_single: bool = False,
    declared: bool = False,
) -> Target:
    """Read the target column and decide what to predict.

    Args:
        column: a column from `read_table` or `to_table`.
        task: the task. `auto`: text, booleans, two values, or up to ten whole numbers are classes.
            `binary` and `multiclass` say how many classes there must be.
        name: the column's name, for messages.
        source: the table's name, for messages.
        missing_values: words that mean "missing".
        allow_single: accept a class with a single row.
        declared: the column is declared as categorical, so `auto` treats its values as classes.

    Raises:
        SchemaError: the column has no value, is constant or infinite, holds text although numbers
            were requested, has a class with a single row, or does not have the requested number of
            classes.
    """
    reading: _Reading = "classification" if task in ("binary", "multiclass") else task  # type: ignore[assignment] # the others are the same words
    if is_number(column.type) and not missing_values and reading != "classification":
        numbers, _ = typed_numbers(column)
        if task == "regression" or not (declared or _are_class_numbers(numbers)):
            target = _typed_number_target(numbers, source, name)
            return target if task == "regression" else _with_note(target, numbers, name)
    read = _read(column, reading, source, name, tuple(missing_values))
    if reading == "regression" or (reading == "auto" and not declared and not _is_classes(read)):
        target = _number_target(read)
    else:
        target = _class_target(read, auto=reading == "auto", allow_single=allow_single)
        _check_number_of_classes(target, task, read.where)
    if reading != "auto" or declared or read.numbers is None:
        return target
    return _with_note(target, read.numbers, name)


def match_target(
    column: pa.ChunkedArray,
    *,
    task: TargetTask,
    classes: Sequence[Label],
    name: str,
    source: str,
    missing_values: Sequence[str] = (),
) -> Target:
    """Read the target column of another table, using the classes that a model learned.

    Raises:
        SchemaError: the model does not know a label; the message names its row.
    """
    if task == "regression" and is_number(column.type) and not missing_values:
        return _typed_number_target(typed_numbers(column)[0], source, name, may_be_constant=True)
    reading: _Reading = "regression" if task == "regression" else "classification"
    target = _read(column, reading, source, name, tuple(missing_values))
    if task == "regression":
        return _number_target(target, may_be_constant=True)
    levels = target.levels
    codes = find_classes(levels.texts.to_pylist(), classes)
    if None in codes:
        level = codes.index(None)
        raise SchemaError(
            f"{target.where} must hold labels that the model learned",
            but=f"row {levels.first_row(level) + 1} holds {levels.show(level)}",
            fix=f"Use one of {list_names(list(map(cell_text, classes)))}, or leave the row out.",
        )
    values = np.array([*codes, -1], dtype=np.int64)[levels.codes]
    return Target(task, values, tuple(classes), values < 0)


def _with_note(target: Target, numbers: NDArray[np.float64], name: str) -> Target:
    """Say why numbers became classes, or whole numbers did not, and how to change that."""
    distinct = np.unique(numbers[~np.isnan(numbers)])
    if len(distinct) == 2 or len(distinct) > _MOST_DOUBTFUL or (distinct % 1).any():
        return target
    what = (
        f"target {name!r} has {len(distinct)} distinct whole numbers, from {distinct[0]:.15g} to "
        f"{distinct[-1]:.15g}"
    )
    note = (
        f"{what}, so each is a class; add --task regression to predict a number (in Python: "
        "AfinaRegressor)"
        if target.classes
        else f"{what}, so a number is predicted; add --task multiclass to predict classes (in "
        "Python: AfinaClassifier)"
    )
    return replace(target, note=note)


def _check_number_of_classes(target: Target, task: RequestedTask, where: str) -> None:
    if task not in ("binary", "multiclass") or task == target.task:
        return
    must = "two classes" if task == "binary" else "three classes or more"
    shown = list_names(list(map(cell_text, target.classes)))
    raise SchemaError(
        f"{where} must have {must} for the task {task}",
        but=f"it has {len(target.classes)}: {shown}",
        fix=f"Use `--task {target.task}` (in Python: AfinaClassifier), or choose another target "
        "column.",
    )


def _check_type(kind: pa.DataType, where: str) -> None:
    if is_text(kind) or is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return
    raise SchemaError(
        f"{where} must hold numbers or labels",
        got=describe_type(kind),
        fix="Turn them into numbers or text.",
    )


def _read(
    column: pa.ChunkedArray,
    task: _Reading,
    source: str,
    name: str,
    missing_values: tuple[str, ...],
) -> _TargetColumn:
    where = f"{source}: target {name!r}"
    _check_type(column.type, where)
    levels = read_levels(column, missing_values)
    _check_some(levels.codes >= 0, where)
    if pa.types.is_boolean(column.type) or is_number(column.type):
        numbers, _ = typed_numbers(column)
        numbers = np.where(levels.codes < 0, np.nan, numbers)
        check_finite(numbers, source=source, name=name)
        return _TargetColumn(levels, numbers, _typed_labels(column, levels), where)
    text_numbers, levels = _text_numbers(levels, task, where)
    return _TargetColumn(levels, text_numbers, tuple(levels.texts.to_pylist()), where)


def _typed_number_target(
    numbers: NDArray[np.float64], source: str, name: str, *, may_be_constant: bool = False
) -> Target:
    """Check a numeric column as `_read` and `_number_target` do, without converting it to text."""
    where = f"{source}: target {name!r}"
    _check_some(~np.isnan(numbers), where)
    check_finite(numbers, source=source, name=name)
    return _numbers(numbers, where, may_be_constant=may_be_constant)


def _check_some(has_value: NDArray[np.bool_], where: str) -> None:
    if not has_value.any():
        raise SchemaError(
            f"{where} must have values",
            but="every cell is missing",
            fix="Choose another target column, or fill it in.",
        )


def _typed_labels(column: pa.ChunkedArray, levels: Levels) -> tuple[Label, ...]:
    rows = np.zeros(len(levels.texts) + 1, dtype=np.int64)  # the last is for missing cells
    rows[levels.codes[::-1]] = np.arange(len(levels.codes))[::-1]
    return tuple(as_one(column).take(pa.array(rows[:-1])).to_pylist())


def _text_numbers(
    levels: Levels, task: _Reading, where: str
) -> tuple[NDArray[np.float64] | None, Levels]:
    """Read text as numbers if every cell is one; only then do the usual words mean "missing"."""
    present = levels.keep(~missing_word_mask(levels.texts))
    if not len(present.texts):
        return None, levels
    counts = present.count(np.ones(len(present.codes)))
    form, fits = find_format(present.texts, counts)
    odd = int(np.argmin(fits))
    if not fits.all() and is_infinite(present.texts)[odd] and counts[fits].sum() > 0:
        raise infinite_error(where, f"row {present.first_row(odd) + 1} holds {present.show(odd)}")
    codes = task != "regression" and has_leading_zero(present.texts).any()
    if fits.all() and not codes:
        values = parse_numbers(present.texts, form)[0]
        if np.isinf(values).any():
            row = present.first_row(int(np.argmax(np.isinf(values)))) + 1
            raise infinite_error(where, f"row {row} is infinite")
        return present.spread(values), present
    mostly = counts[fits].sum() >= 0.5 * counts.sum() and not codes
    if task == "regression" or (task == "auto" and mostly):
        choice = f", or add {_AS_CLASSES}" * (task == "auto")
        raise SchemaError(
            f"{where} must hold numbers{' as requested' * (task == 'regression')}",
            but=f"row {present.first_row(odd) + 1} holds {present.show(odd)}",
            fix=f"Correct the cell, or leave it empty{choice}.",
        )
    return None, levels


def _is_classes(target: _TargetColumn) -> bool:
    return (
        target.numbers is None
        or isinstance(target.labels[0], bool)
        or _are_class_numbers(target.numbers)
    )


def _are_class_numbers(numbers: NDArray[np.float64]) -> bool:
    distinct = np.unique(numbers[~np.isnan(numbers)])
    whole = bool((distinct == np.floor(distinct)).all())
    return len(distinct) == 2 or (whole and len(distinct) <= _MOST_WHOLE_CLASSES)


def _number_target(target: _TargetColumn, *, may_be_constant: bool = False) -> Target:
    if target.numbers is None:
        raise SchemaError(
            f"{target.where} must hold numbers for regression",
            got=f"text such as {target.levels.show(0)}",
            fix=f"Use {_AS_CLASSES}.",
        )
    return _numbers(target.numbers, target.where, may_be_constant=may_be_constant)


def _numbers(numbers: NDArray[np.float64], where: str, *, may_be_constant: bool) -> Target:
    missing = np.isnan(numbers)
    low = float(np.min(numbers[~missing]))
    if not may_be_constant and low == float(np.max(numbers[~missing])):
        raise SchemaError(
            f"{where} must vary",
            but=f"every value is {low:g}",
            fix="Choose another target column.",
        )
    return Target("regression", numbers, (), missing)


def _class_target(target: _TargetColumn, *, auto: bool, allow_single: bool) -> Target:
    merged, labels = _merge_equal_numbers(target)
    counts = np.bincount(merged[merged >= 0], minlength=len(labels))
    if len(labels) < 2:
        raise SchemaError(
            f"{target.where} must have at least two classes",
            but=f"every value is {labels[0]!r}",
            fix="Choose another target column.",
        )
    if auto and len(labels) > _MOST_AUTO_CLASSES and len(labels) > 0.5 * counts.sum():
        raise SchemaError(
            f"{target.where} must hold classes or numbers",
            but=f"it has {len(labels)} different values in {counts.sum()} rows, such as "
            f"{target.levels.show(0)}",
            fix="Choose another target column.",
        )
    numbers = target.numbers
    fractions = numbers is not None and bool((numbers[~np.isnan(numbers)] % 1).any())
    if fractions and len(labels) > max(2, 0.5 * counts.sum()):
        raise SchemaError(
            f"{target.where} must have classes",
            but=f"it holds {len(labels)} different numbers in {counts.sum()} rows",
            fix=f"Use {_AS_NUMBERS}.",
        )
    if not allow_single:
        _check_no_single(target, merged, labels, counts, auto=auto)
    order = sort_labels(labels)
    codes = np.append(np.argsort(order), -1)[merged]  # -1 stays -1
    classes = tuple(labels[at] for at in order)
    notes = notes_on_labels(
        target.levels.texts.to_pylist(), target.where, are_numbers=target.numbers is not None
    )
    task: TargetTask = "binary" if len(labels) == 2 else "multiclass"
    return Target(task, codes, classes, codes < 0, notes=tuple(notes))


def _check_no_single(
    target: _TargetColumn,
    merged: NDArray[np.int64],
    labels: Sequence[Label],
    counts: NDArray[np.int64],
    *,
    auto: bool,
) -> None:
    """Raise a SchemaError for a class with a single row."""
    single = np.flatnonzero(counts == 1)
    if not len(single):
        return
    row = int(np.argmax(merged == single[0])) + 1
    n_others = len(single) - 1
    more = f" (and {n_others} more class{'es' * (n_others > 1)} like it)" if n_others else ""
    choice = f", or add {_AS_NUMBERS}" * (auto and target.numbers is not None)
    raise SchemaError(
        f"{target.where} must have at least two rows of each class",
        but=f"only row {row} has {labels[single[0]]!r}{more}",
        fix=f"Leave the row out, or merge its class with another{choice}.",
    )


def _merge_equal_numbers(target: _TargetColumn) -> tuple[NDArray[np.int64], list[Label]]:
    """Merge equal numbers that are written differently, such as 1 and 1.0; keep the first."""
    if target.numbers is None:
        return target.levels.codes, list(target.labels)
    keys = [canonical_number(text.strip()) or text for text in target.levels.texts.to_pylist()]
    labels: dict[str, Label] = {}
    for key, label in zip(keys, target.labels, strict=True):
        labels.setdefault(key, label)
    place = {key: number for number, key in enumerate(labels)}
    codes = np.array([*(place[key] for key in keys), -1], dtype=np.int64)[target.levels.codes]
    return codes, list(labels.values())
