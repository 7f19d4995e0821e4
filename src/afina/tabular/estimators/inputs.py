"""What users of scikit-learn pass to an estimator, checked as scikit-learn asks."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d, validate_data

from afina.errors import SchemaError
from afina.table import Features, Kind, Schema, only_row, to_table
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.preparation.given import Given, join_arrays
from afina.tabular.preparation.roles import Roles
from afina.tabular.preparation.rows import Floats

_NUMBERS = "biuf"


def check_rows(
    estimator: BaseEstimator,
    x: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None,
    groups: ArrayLike | None,
) -> Given:
    """Check what `fit` was passed, and join it.

    Raises:
        ValueError: X and y do not suit each other or the estimator.
    """
    features = check_x(estimator, x, reset=True)
    target = check_y(estimator, y, len(features))
    return join_arrays(
        as_table(features),
        _as_column(target, "y", len(target)),
        roles=Roles("y", "sample_weight", "groups"),
        source="X",
        weights=_check_weights(sample_weight, len(features)),
        groups=None if groups is None else _as_column(groups, "groups", len(features)),
        kinds=known_kinds(features),
    )


def check_val_rows(estimator: BaseEstimator, x: Any, y: ArrayLike | None) -> Given | None:
    """Check the validation rows that `fit` was passed, and join them; None if there are none.

    Raises:
        ValueError: one of both is missing, or they do not suit X and y.
    """
    if x is None and y is None:
        return None
    if x is None or y is None:
        raise ValueError(
            f"X_val and y_val must be passed together; got only {'X_val' if y is None else 'y_val'}."
        )
    features = check_x(estimator, x, reset=False)
    target = check_y(estimator, y, len(features))
    return join_arrays(
        as_table(features),
        _as_column(target, "y_val", len(target)),
        roles=Roles("y_val"),
        source="X_val",
    )


def check_x(estimator: BaseEstimator, x: Any, *, reset: bool) -> pa.Table | NDArray[Any]:
    """Check features, and return a table, or an array of numbers unchanged.

    Args:
        estimator: its `n_features_in_` and `feature_names_in_` are set, or compared.
        x: a pandas, polars or pyarrow frame; or anything numpy makes a 2-D array of.
        reset: whether this is a fit, which needs two rows or more.

    Raises:
        ValueError: infinite values, too few rows, other columns than in the fit.
    """
    least = 2 if reset else 1
    if isinstance(x, pa.Table) or (hasattr(x, "columns") and hasattr(x, "shape")):
        if x.shape[0] < least:
            raise ValueError(
                f"Found array with {x.shape[0]} sample(s) (shape={x.shape}) while a minimum of "
                f"{least} is required."
            )
        validate_data(estimator, x, reset=reset, skip_check_array=True)
        return to_table(x)
    array = validate_data(
        estimator,
        x,
        reset=reset,
        dtype=None,
        ensure_all_finite="allow-nan",
        ensure_min_samples=least,
    )
    if array.dtype.kind in _NUMBERS:
        return np.asarray(array)
    return pa.table({f"x{at}": _cells(array[:, at]) for at in range(array.shape[1])})


def check_y(estimator: BaseEstimator, y: ArrayLike | None, n_rows: int) -> NDArray[Any]:
    """Check labels for a classifier, numbers for a regressor.

    Raises:
        ValueError: y is missing, holds missing values, has another length than X, or is neither
            labels nor finite numbers.
    """
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target "
            "y is None."
        )
    classifies = isinstance(estimator, ClassifierMixin)
    array = check_array(
        np.asarray(y),
        ensure_2d=False,
        dtype=None if classifies else np.float64,
        input_name="y",
        ensure_min_samples=0,
    )
    target: NDArray[Any] = column_or_1d(array, warn=True)
    if len(target) != n_rows:
        raise ValueError(
            f"X and y must have the same number of rows; got {n_rows} and {len(target)}, "
            "inconsistent numbers of samples."
        )
    if classifies:
        check_classification_targets(target)
    return target


def predict_one_row(estimator: BaseEstimator, x: Any, predictor: Predictor) -> Floats | None:
    """Predict a pandas frame of one ordinary row; return None for anything else.

    Raises:
        ValueError: other columns than in the fit.
    """
    row = only_row(x)
    prediction = None if row is None else predictor.predict_row_quickly(row)
    if prediction is not None:
        validate_data(estimator, x, reset=False, skip_check_array=True)
    return prediction


def known_kinds(x: pa.Table | NDArray[Any]) -> dict[str, Kind]:
    """Return the kinds that need not be inferred: the columns of an array of numbers are numbers."""
    return {} if isinstance(x, pa.Table) else {f"x{at}": "numeric" for at in range(x.shape[1])}


def as_table(x: pa.Table | NDArray[Any]) -> pa.Table:
    """Return a table; the columns of an array are called `x0`, `x1`, ..."""
    if isinstance(x, pa.Table):
        return x
    small = x.dtype.kind in "ib" or (x.dtype.kind == "u" and x.dtype.itemsize < 8)
    return to_table(x.astype(np.int64 if small else np.float64))


def quick_features(x: pa.Table | NDArray[Any], schema: Schema) -> Features | None:
    """Encode an array of numbers at once instead of by column, where the schema allows it."""
    if isinstance(x, pa.Table) or len(schema.num_columns) != x.shape[1]:
        return None
    if schema.missing_values or any(column.offset for column in schema.num_columns):
        return None
    if any(name != f"x{at}" for at, name in enumerate(schema.num_names)):
        return None
    n_rows = len(x)
    codes = np.empty((n_rows, 0), dtype=np.int64)
    return Features(x.astype(np.float64), codes, np.empty((n_rows, 0)))


def sort_classes(classes: tuple[Any, ...], y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Sort the classes of a model as scikit-learn does, in the type that y has.

    Returns:
        The sorted labels, and the class number of each.
    """
    labels = np.array(classes, dtype=np.asarray(y).dtype)
    order = np.argsort(labels, kind="stable")
    return labels[order], order


def _check_weights(sample_weight: ArrayLike | None, n_rows: int) -> Floats | None:
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    return _check_shape(
        np.full(n_rows, weights) if not weights.ndim else weights, "sample_weight", n_rows
    )


def _as_column(values: ArrayLike, name: str, n_rows: int) -> pa.ChunkedArray:
    return to_table({name: _check_shape(np.asarray(values), name, n_rows)}).column(name)


def _check_shape(values: NDArray[Any], name: str, n_rows: int) -> NDArray[Any]:
    if values.shape != (n_rows,):
        raise SchemaError(
            f"{name} must have one value for each row of X",
            but=f"its shape is {values.shape}, and X has {n_rows} rows",
            fix=f"Pass {name} as one column of {n_rows} values.",
        )
    return values


def _cells(column: NDArray[Any]) -> pa.Array:
    """Return a column as numbers if every cell is one, else as text."""
    cells = column.tolist()
    present = [cell for cell in cells if cell is not None and cell == cell]  # noqa: PLR0124 - NaN
    if all(isinstance(cell, bool | int | float) for cell in present):
        try:
            return pa.array(np.array(cells, dtype=np.float64), from_pandas=True)
        except (TypeError, ValueError, OverflowError):
            pass
    texts = [
        None if cell is None or cell != cell else str(cell)  # noqa: PLR0124 - NaN
        for cell in cells
    ]
    return pa.array(texts, pa.string())
