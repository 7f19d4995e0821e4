"""The targets that users pass to an estimator, and the labels that it returns."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from afina.errors import SchemaError
from afina.table import fill_masked, missing_mask, to_eager


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
    classifies = isinstance(estimator, ClassifierMixin)
    present = check_array(
        _as_plain(cells[~missing]) if missing.any() else cells,
        ensure_2d=False,
        dtype=None if classifies else np.float64,
        input_name="y",
        ensure_min_samples=0,
    )
    if classifies and len(present):
        check_classification_targets(present)
    if not missing.any():
        return np.asarray(present)
    targets = np.full(n_rows, None, dtype=object) if classifies else np.full(n_rows, np.nan)
    targets[~missing] = present
    return targets


def _one_column(y: NDArray[Any]) -> NDArray[Any]:
    """Return the targets unchanged, having checked that they are one column.

    Raises:
        SchemaError: there are several.
    """
    if y.ndim > 1 and y.shape[1:] != (1,):
        raise SchemaError(
            "y must be one column, because a model predicts one target",
            got=f"an array of shape {y.shape}",
            fix="Fit a model for each column; of classes in one-hot columns, pass "
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
    """Turn targets into an array in which a missing target stays missing, even among text."""
    y = fill_masked(to_eager(y))
    array = np.asarray(y)
    if array.dtype.kind == "U" and isinstance(y, list | tuple):
        cells = np.asarray(y, dtype=object)
        if missing_mask(cells).any():
            return cells
    return array


def _as_plain(cells: NDArray[Any]) -> NDArray[Any]:
    """Convert an array of objects that are all numbers or all booleans to that type."""
    if cells.dtype != object:
        return cells
    plain = np.array(cells.tolist())
    return plain if plain.dtype.kind in "biuf" else cells
