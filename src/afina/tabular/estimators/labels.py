"""The targets that users pass to an estimator, and the labels that it returns."""

import decimal
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, column_or_1d

from afina.errors import SchemaError
from afina.table import fill_masked, missing_mask, to_eager, to_table

_TYPES = {"S": "bytes", "V": "raw bytes", "M": "dates", "m": "durations"}


def check_y(estimator: BaseEstimator, y: ArrayLike | None, n_rows: int) -> NDArray[Any]:
    """Check the targets: labels for a classifier, numbers for a regressor.

    Returns:
        The targets; a missing one is None or NaN.

    Raises:
        ValueError: y is None, differs from X in length, or holds neither labels nor finite numbers.
    """
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target "
            "y is None."
        )
    cells: NDArray[Any] = column_or_1d(_one_column(_as_array(y)), warn=True)
    if len(cells) != n_rows:
        raise ValueError(
            f"X and y must have the same number of rows; got {n_rows} and {len(cells)}, "
            "inconsistent numbers of samples."
        )
    missing = missing_mask(cells)
    present = _check_present(estimator, _as_plain(cells[~missing] if missing.any() else cells))
    if not missing.any():
        return np.asarray(present)
    classifies = isinstance(estimator, ClassifierMixin)
    targets = np.full(n_rows, None, dtype=object) if classifies else np.full(n_rows, np.nan)
    targets[~missing] = present
    return targets


def _check_present(estimator: BaseEstimator, cells: NDArray[Any]) -> NDArray[Any]:
    """Check targets without missing cells."""
    classifies = isinstance(estimator, ClassifierMixin)
    must = f"y must hold {'labels: text, numbers or booleans' if classifies else 'numbers'}"
    odd = _odd_type(cells)
    if odd:
        into = "text, for example with y.astype(str)" if classifies else "numbers"
        raise SchemaError(must, got=odd, fix=f"Turn them into {into}.")
    try:
        present: NDArray[Any] = check_array(
            cells,
            ensure_2d=False,
            dtype=None if classifies else np.float64,
            input_name="y",
            ensure_min_samples=0,
        )
    except ValueError as error:
        if "could not convert" not in str(error):
            raise
        raise SchemaError(
            must,
            got="text",
            fix="Turn it into numbers, or use AfinaClassifier, which learns labels.",
        ) from None
    if not classifies or not len(present):
        return present
    if type_of_target(present) == "unknown":
        types = sorted({type(cell).__name__ for cell in present.tolist()})
        raise SchemaError(
            must,
            but=f"it holds several types: {', '.join(types)}",
            fix="Convert them to one type, for example with y.astype(str).",
        )
    check_classification_targets(present)
    return present


def _one_column(y: NDArray[Any]) -> NDArray[Any]:
    """Check that the targets are one column, and return them unchanged.

    Raises:
        SchemaError: there are several columns.
    """
    if y.ndim > 1 and y.shape[1:] != (1,):
        raise SchemaError(
            "y must be one column, because a model predicts one target",
            got=f"an array of shape {y.shape}",
            fix="Fit a model for each column; if the columns are one-hot classes, pass "
            "y.argmax(axis=1).",
        )
    return y


def sort_classes(classes: tuple[Any, ...], y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sort the classes of a model as scikit-learn does, and convert them to the type of y.

    Returns:
        The sorted labels, and the class number of each.
    """
    given = _as_array(y).dtype
    numbers = given.kind == "O" and not any(isinstance(label, str) for label in classes)
    labels = np.array(classes, dtype=None if numbers else given)  # numbers among missing cells
    order = np.argsort(labels, kind="stable")
    return labels[order], order


def _as_array(y: Any) -> NDArray[Any]:
    """Turn targets into an array; a missing one stays missing, even among text or integers."""
    if isinstance(y, Mapping) or getattr(getattr(y, "dtype", None), "names", None):
        raise SchemaError(
            "y must be one column",
            got="named columns",
            fix="Pass the column with the targets, such as y['target'].",
        )
    if isinstance(y, str):
        raise SchemaError(
            "y must hold a target for each row",
            got=f"the text {y!r}",
            fix="Pass the column itself, such as X['target'], and leave it out of X.",
        )
    if isinstance(y, np.ma.MaskedArray) and y.dtype.kind in "iu":
        y = y.astype(object)
    y = fill_masked(to_eager(y))
    array = np.asarray(y)
    if array.dtype.kind == "f":
        return _whole_numbers(y, array)
    if array.dtype.kind == "U" and isinstance(y, list | tuple):
        cells = np.asarray(y, dtype=object)
        if missing_mask(cells).any():
            return cells
    return array


def _whole_numbers(y: Any, array: NDArray[Any]) -> NDArray[Any]:
    """Return objects if missing cells turned whole numbers into floats; else return the array."""
    if isinstance(y, np.ndarray) or not np.isnan(array).any() or not hasattr(y, "__len__"):
        return array
    columns = y if isinstance(y, pa.Table) or hasattr(y, "columns") else {"y": y}
    table = to_table(columns)
    if not all(pa.types.is_integer(column.type) for column in table.columns):
        return array
    cells = [column.to_pylist() for column in table.columns]
    return np.array(cells, dtype=object).T.reshape(array.shape)


def _odd_type(cells: NDArray[Any]) -> str | None:
    """Name a type of cell that is neither a label nor a number; None if there is none."""
    if cells.dtype.kind != "O":
        return _TYPES.get(cells.dtype.kind)
    plain = (str, bool, int, float, complex, decimal.Decimal, np.bool_, np.number)
    odd = next((cell for cell in cells if not isinstance(cell, plain)), None)
    return None if odd is None else f"values of type {type(odd).__name__}"


def _as_plain(cells: NDArray[Any]) -> NDArray[Any]:
    """Convert an array of objects that are all numbers or all booleans to that type."""
    if cells.dtype != object:
        return cells
    plain = np.array(cells.tolist())
    return plain if plain.dtype.kind in "biuf" else cells
