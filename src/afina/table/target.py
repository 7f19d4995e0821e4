"""The target: numbers, or classes whose labels stay exactly as written."""

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
    describe_type,
    is_infinite,
    missing_word_mask,
    read_levels,
)
from afina.table.frame import cell_text, is_number, is_text
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

Label = str | int | bool | float
TargetTask = Literal["binary", "multiclass", "regression"]
RequestedTask = Literal["auto", "classification", "regression"]
_MOST_WHOLE_CLASSES, _MOST_AUTO_CLASSES = 10, 1000


@dataclass(frozen=True)
class Target:
    """The targets of all rows.

    Args:
        task: what to predict: one of two classes, one of several, or a number.
        values: numbers (NaN where missing), or class codes (-1 where missing). Shape (n_rows,).
        classes: label of each code, as in the table; empty for regression.
        missing: rows without a target. Shape (n_rows,).
    """

    task: TargetTask
    values: NDArray[np.float64] | NDArray[np.int64]
    classes: tuple[Label, ...]
    missing: NDArray[np.bool_]


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
        name: the column's name, for messages.
        source: the table's name, for messages.
        missing_values: words that mean "missing".
        allow_single: accept a class with a single row.
        declared: the column is declared as categorical, so `auto` treats its values as classes.

    Raises:
        SchemaError: the column has no value, is constant or infinite, holds text although numbers
            were requested, or has a class with a single row.
    """
    if is_number(column.type) and not missing_values and task != "classification":
        numbers, _ = typed_numbers(column)
        if task == "regression" or not (declared or _are_class_numbers(numbers)):
            return _typed_number_target(numbers, source, name)
    target = _read(column, task, source, name, tuple(missing_values))
    if task == "regression" or (task == "auto" and not declared and not _is_classes(target)):
        return _number_target(target)
    return _class_target(target, auto=task == "auto", allow_single=allow_single)


def match_target(
    column: pa.ChunkedArray,
    *,
    task: TargetTask,
    classes: Sequence[Label],
    name: str,
    source: str,
    missing_values: Sequence[str] = (),
) -> Target:
    """Read the target column of another table as the classes that a model learned.

    Raises:
        SchemaError: the model does not know a label; the message names its row.
    """
    if task == "regression" and is_number(column.type) and not missing_values:
        return _typed_number_target(typed_numbers(column)[0], source, name, may_be_constant=True)
    requested: RequestedTask = "regression" if task == "regression" else "classification"
    target = _read(column, requested, source, name, tuple(missing_values))
    if task == "regression":
        return _number_target(target, may_be_constant=True)
    levels = target.levels
    by_text = {cell_text(label): code for code, label in enumerate(classes)}
    by_value = {_value_key(text): code for text, code in by_text.items()}
    texts = levels.texts.to_pylist()
    codes = [by_text.get(text, by_value.get(_value_key(text), -1)) for text in texts]
    if -1 in codes:
        level = codes.index(-1)
        raise SchemaError(
            f"{target.where} must hold labels that the model learned",
            but=f"row {levels.first_row(level) + 1} holds {levels.show(level)}",
            fix=f"Use one of {list_names(list(by_text))}, or leave the row out.",
        )
    values = np.array([*codes, -1], dtype=np.int64)[levels.codes]
    return Target(task, values, tuple(classes), values < 0)


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
    task: RequestedTask,
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
            fix="Name another target column, or fill it in.",
        )


def _typed_labels(column: pa.ChunkedArray, levels: Levels) -> tuple[Label, ...]:
    rows = np.zeros(len(levels.texts) + 1, dtype=np.int64)  # the last is for missing cells
    rows[levels.codes[::-1]] = np.arange(len(levels.codes))[::-1]
    return tuple(as_one(column).take(pa.array(rows[:-1])).to_pylist())


def _text_numbers(
    levels: Levels, task: RequestedTask, where: str
) -> tuple[NDArray[np.float64] | None, Levels]:
    """Read text as numbers if all cells are; only then do the usual words mean "missing"."""
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
        choice = ", or set `--set table.task=classification`" * (task == "auto")
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
            f"{target.where} must hold numbers for a regression",
            got=f"text such as {target.levels.show(0)}",
            fix="Use `--set table.task=classification`.",
        )
    return _numbers(target.numbers, target.where, may_be_constant=may_be_constant)


def _numbers(numbers: NDArray[np.float64], where: str, *, may_be_constant: bool) -> Target:
    missing = np.isnan(numbers)
    low = float(np.min(numbers[~missing]))
    if not may_be_constant and low == float(np.max(numbers[~missing])):
        raise SchemaError(
            f"{where} must vary",
            but=f"every value is {low:g}",
            fix="Name another target column.",
        )
    return Target("regression", numbers, (), missing)


def _class_target(target: _TargetColumn, *, auto: bool, allow_single: bool) -> Target:
    merged, labels = _merge_equal_numbers(target)
    counts = np.bincount(merged[merged >= 0], minlength=len(labels))
    if len(labels) < 2:
        raise SchemaError(
            f"{target.where} must have at least two classes",
            but=f"every value is {labels[0]!r}",
            fix="Name another target column.",
        )
    if auto and len(labels) > _MOST_AUTO_CLASSES and len(labels) > 0.5 * counts.sum():
        raise SchemaError(
            f"{target.where} must hold classes or numbers",
            but=f"it has {len(labels)} different texts in {counts.sum()} rows, such as "
            f"{target.levels.show(0)}",
            fix="Name another target column.",
        )
    if not allow_single:
        _check_no_single(target, merged, labels, counts, auto=auto)
    order = _sorted_labels(labels)
    codes = np.append(np.argsort(order), -1)[merged]  # -1 stays -1
    classes = tuple(labels[at] for at in order)
    return Target("binary" if len(labels) == 2 else "multiclass", codes, classes, codes < 0)


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
    choice = ", or set `--set table.task=regression`" * (auto and target.numbers is not None)
    raise SchemaError(
        f"{target.where} must have at least two rows of each class",
        but=f"only row {row} has {labels[single[0]]!r}{more}",
        fix=f"Leave the row out, or merge its class with another{choice}.",
    )


def _merge_equal_numbers(target: _TargetColumn) -> tuple[NDArray[np.int64], list[Label]]:
    """Merge equal numbers that are written differently, such as 1 and 1.0, as the first one."""
    if target.numbers is None:
        return target.levels.codes, list(target.labels)
    keys = [canonical_number(text.strip()) or text for text in target.levels.texts.to_pylist()]
    labels: dict[str, Label] = {}
    for key, label in zip(keys, target.labels, strict=True):
        labels.setdefault(key, label)
    place = {key: number for number, key in enumerate(labels)}
    codes = np.array([*(place[key] for key in keys), -1], dtype=np.int64)[target.levels.codes]
    return codes, list(labels.values())


def _sorted_labels(labels: Sequence[Label]) -> list[int]:
    """Return the order of the labels: by value if all are numbers, else by text."""
    texts = [cell_text(label) for label in labels]
    numbers = [canonical_number(text.strip()) for text in texts]
    values = [_exact(number) for number in numbers if number is not None]
    if len(values) == len(labels):
        return sorted(range(len(labels)), key=values.__getitem__)
    return sorted(range(len(labels)), key=texts.__getitem__)


def _exact(number: str) -> int | float:
    return int(number) if number.lstrip("-").isdigit() else float(number)


def _value_key(text: str) -> str:
    """Write a label so that 1 equals 1.0, and True equals true."""
    word = text.strip()
    lower = word.lower()
    return lower if lower in ("true", "false") else canonical_number(word) or text
