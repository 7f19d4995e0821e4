"""What scikit-learn's users pass, as tables and arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d, validate_data

from afina.config.sections import Kind
from afina.table import Features, Schema, only_row, to_table
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.preparation.rows import Floats, Integers

_NUMBERS = "biuf"


def check_x(estimator: BaseEstimator, x: Any, *, reset: bool) -> pa.Table | NDArray[Any]:
    """Check features as scikit-learn asks, and give a table, or an array of numbers as it is.

    Args:
        estimator: its `n_features_in_` and `feature_names_in_` are set, or compared.
        x: a pandas, polars or pyarrow frame; or anything numpy makes a 2-D array of.
        reset: whether this is a fit.

    Raises:
        ValueError: infinite values, no rows, other columns than in the fit.
    """
    if isinstance(x, pa.Table) or (hasattr(x, "columns") and hasattr(x, "shape")):
        if x.shape[0] < 1:
            raise ValueError(f"Found array with 0 sample(s) (shape={x.shape}); 1 is needed.")
        validate_data(estimator, x, reset=reset, skip_check_array=True)
        return to_table(x)
    array = validate_data(
        estimator, x, reset=reset, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=1
    )
    if array.dtype.kind in _NUMBERS:
        return np.asarray(array)
    return pa.table({f"x{at}": _cells(array[:, at]) for at in range(array.shape[1])})


def answer_row(estimator: BaseEstimator, x: Any, predictor: Predictor) -> Floats | None:
    """Answer a pandas frame of one ordinary row; None for anything else.

    Raises:
        ValueError: other columns than in the fit.
    """
    row = only_row(x)
    answers = None if row is None else predictor.answer_quickly(row)
    if answers is not None:
        validate_data(estimator, x, reset=False, skip_check_array=True)
    return answers


def number_kinds(x: pa.Table | NDArray[Any], asked: Mapping[str, Kind]) -> dict[str, Kind]:
    """Name the kinds that are known: the columns of an array of numbers are numbers."""
    if isinstance(x, pa.Table):
        return dict(asked)
    numbers: dict[str, Kind] = {f"x{at}": "numeric" for at in range(x.shape[1])}
    return numbers | dict(asked)


def as_table(x: pa.Table | NDArray[Any]) -> pa.Table:
    """Return a table, whose columns for an array are `x0`, `x1`, ..."""
    if isinstance(x, pa.Table):
        return x
    small = x.dtype.kind in "ib" or (x.dtype.kind == "u" and x.dtype.itemsize < 8)
    return to_table(x.astype(np.int64 if small else np.float64))


def quick_features(x: pa.Table | NDArray[Any], schema: Schema) -> Features | None:
    """Lay out an array of numbers without looking at each column, where the schema allows it."""
    if isinstance(x, pa.Table) or len(schema.num_columns) != x.shape[1]:
        return None
    if schema.missing_values or any(column.offset for column in schema.num_columns):
        return None
    if any(name != f"x{at}" for at, name in enumerate(schema.num_names)):
        return None
    n_rows = len(x)
    codes = np.empty((n_rows, 0), dtype=np.int64)
    return Features(x.astype(np.float64), codes, np.empty((n_rows, 0)))


def check_labels(estimator: BaseEstimator, y: ArrayLike | None, n_rows: int) -> NDArray[Any]:
    """Check the labels of a classification.

    Raises:
        ValueError: missing, of another length, or no labels.
    """
    labels = _one_column(estimator, y, None)
    _check_length(labels, n_rows)
    check_classification_targets(labels)
    return labels


def check_numbers(estimator: BaseEstimator, y: ArrayLike | None, n_rows: int) -> Floats:
    """Check the numbers of a regression.

    Raises:
        ValueError: missing, of another length, or no finite numbers.
    """
    numbers = _one_column(estimator, y, np.float64)
    _check_length(numbers, n_rows)
    return numbers


def learn_classes(labels: NDArray[Any], weights: Floats) -> NDArray[Any]:
    """Sort the labels that rows of a weight above 0 have.

    Raises:
        ValueError: there is one only.
    """
    classes = np.unique(labels[weights > 0])
    if len(classes) < 2:
        raise ValueError(
            f"y must have two classes or more, however: it has one class, {classes[0]!r}."
        )
    return classes


def code_answers(y: NDArray[Any], classes: NDArray[Any] | None) -> Integers | Floats:
    """Number labels by their place among the sorted classes; leave numbers as they are.

    Raises:
        ValueError: a label that is none of them.
    """
    if classes is None:
        return y
    place = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    unknown = np.asarray(classes[place] != y)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(
            f"y_val must hold the classes of y, however: row {row + 1} holds {y[row]!r}."
        )
    return place.astype(np.int64)


def count_rows(x: pa.Table | NDArray[Any]) -> int:
    """Count the rows of a table or array."""
    return int(x.shape[0])


def _one_column(estimator: BaseEstimator, y: ArrayLike | None, dtype: Any) -> NDArray[Any]:
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target "
            "y is None."
        )
    found = check_array(
        np.asarray(y), ensure_2d=False, dtype=dtype, input_name="y", ensure_min_samples=0
    )
    column: NDArray[Any] = column_or_1d(found, warn=True)
    return column


def _check_length(y: NDArray[Any], n_rows: int) -> None:
    if len(y) != n_rows:
        raise ValueError(
            f"X and y must have as many rows, however: inconsistent numbers of samples, {n_rows} "
            f"and {len(y)}."
        )


def _cells(column: NDArray[Any]) -> pa.Array:
    """Take a column of any cells as numbers if all of them are; else each as text."""
    cells = column.tolist()
    there = [cell for cell in cells if cell is not None and cell == cell]  # noqa: PLR0124 - NaN
    if all(isinstance(cell, bool | int | float) for cell in there):
        try:
            return pa.array(np.array(cells, dtype=np.float64), from_pandas=True)
        except (TypeError, ValueError, OverflowError):
            pass
    texts = [
        None if cell is None or cell != cell else str(cell)  # noqa: PLR0124 - NaN
        for cell in cells
    ]
    return pa.array(texts, pa.string())
