"""Check what users pass to an estimator, as scikit-learn's conventions require."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from afina.errors import ConfigError, SchemaError, TableError
from afina.table import (
    Features,
    Kind,
    Schema,
    fill_masked,
    is_lazy,
    is_missing_cell,
    missing_mask,
    name_columns,
    only_row,
    suggest_names,
    to_eager,
    to_table,
)
from afina.tabular.estimators.labels import check_y
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.preparation.given import Given, join_arrays
from afina.tabular.preparation.roles import Roles
from afina.tabular.preparation.rows import Floats

_NUMBERS, _TIMES = "biuf", "mM"
_EXACT = 2**53  # beyond it, float64 does not represent every integer
_TARGET_NAMES = ("y", "target", "y_target")


def check_rows(
    estimator: BaseEstimator,
    x: Any,
    y: ArrayLike | None,
    *,
    sample_weight: ArrayLike | None,
    groups: ArrayLike | None,
) -> Given:
    """Check the arguments of `fit`, and join them into one record.

    Raises:
        ValueError: X and y do not match each other, or do not suit the estimator.
    """
    features = check_x(estimator, x, reset=True)
    target = check_y(estimator, y, len(features))
    table = as_table(features)
    return join_arrays(
        table,
        _as_column(target, "y", len(target)),
        roles=Roles(_name_target(table.column_names), "sample_weight", "groups"),
        source="X",
        weights=_check_weights(sample_weight, len(features)),
        groups=None if groups is None else _as_column(groups, "groups", len(features)),
        kinds=known_kinds(features),
    )


def choose_val_rows(x_val: Any, y_val: Any, eval_set: Any) -> tuple[Any, Any]:
    """Return the validation rows and their targets, whichever way they were passed.

    Raises:
        ConfigError: they were passed twice, or `eval_set` is not one pair.
    """
    if eval_set is None:
        return x_val, y_val
    if x_val is not None or y_val is not None:
        raise ConfigError(
            "validation rows must be passed once",
            but=f"both eval_set and {'y_val' if x_val is None else 'X_val'} are given",
            fix="Leave one out.",
        )
    pair = eval_set[0] if _has_parts(eval_set) and len(eval_set) == 1 else eval_set
    several = _has_parts(pair) and all(isinstance(p, tuple) and len(p) == 2 for p in pair)
    incomplete = _has_parts(pair) and any(part is None for part in pair)
    if several or incomplete or not _has_parts(pair) or len(pair) != 2:
        size = f" of {len(pair)}" if _has_parts(pair) else ""
        raise ConfigError(
            "eval_set must be one pair of rows and their targets",
            got=f"{len(pair)} pairs" if several else f"a {type(pair).__name__}{size}",
            fix=f"Pass eval_set=(X_val, y_val){', without None' * incomplete}.",
        )
    return pair[0], pair[1]


def _has_parts(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) > 0


def check_val_rows(
    estimator: BaseEstimator, x: Any, y: ArrayLike | None, names: Sequence[str]
) -> Given | None:
    """Check the validation rows passed to `fit`, and join them; None if there are none.

    Args:
        estimator: the estimator, which has already checked the training rows.
        x: features.
        y: targets.
        names: names of the training columns, in order.

    Raises:
        ValueError: only one of the two was passed, or they do not match X and y.
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
        as_table(features, names),
        _as_column(target, "y_val", len(target)),
        roles=Roles("y_val"),
        source="X_val",
    )


def check_x(estimator: BaseEstimator, x: Any, *, reset: bool) -> pa.Table | NDArray[Any]:
    """Check features; return them as a table, or unchanged if they are an array of numbers.

    Args:
        estimator: its `n_features_in_` and `feature_names_in_` are set in a fit, and otherwise
            compared.
        x: a pandas, polars or pyarrow frame; a mapping of columns, a list of mappings or a
            structured array; or anything numpy can turn into a 2-D array.
        reset: whether this is a fit, which needs at least two rows.

    Raises:
        ValueError: values are infinite, there are too few rows, or the columns differ from the
            fit's.
    """
    least = 2 if reset else 1
    x = fill_masked(to_eager(_name_columns(x)))
    if is_lazy(x):
        to_table(x)  # raises an error that says to collect the lazy frame
    if isinstance(x, pa.Table) or (hasattr(x, "columns") and hasattr(x, "shape")):
        if x.shape[0] < least:
            raise ValueError(
                f"Found array with {x.shape[0]} sample(s) (shape={x.shape}) while a minimum of "
                f"{least} is required."
            )
        table = to_table(x)  # first, because its error about repeated names is clearer
        _check_frame(estimator, x, reset=reset)
        return table
    array = validate_data(
        estimator,
        _keep_missing(x),
        reset=reset,
        dtype=None,
        ensure_all_finite="allow-nan",
        ensure_min_samples=least,
    )
    if array.dtype.kind in _NUMBERS:
        return np.asarray(array)
    columns = {f"x{at}": _cells(array[:, at], typed=not reset) for at in range(array.shape[1])}
    return to_table(columns)


def predict_one_row(estimator: BaseEstimator, x: Any, predictor: Predictor) -> Floats | None:
    """Predict a pandas frame of one ordinary row; return None for any other input.

    Raises:
        ValueError: the columns differ from the fit's.
    """
    row = only_row(x)
    if row is None or list(row) != [column.name for column in predictor.schema.columns]:
        return None  # the columns are matched by position, or are wrong
    prediction = predictor.predict_row_quickly(row)
    if prediction is not None:
        _check_frame(estimator, x, reset=False)
    return prediction


def known_kinds(x: pa.Table | NDArray[Any]) -> dict[str, Kind]:
    """Return the kinds that need no inference: all columns of a numeric array are numeric."""
    return {} if isinstance(x, pa.Table) else {f"x{at}": "numeric" for at in range(x.shape[1])}


def as_table(x: pa.Table | NDArray[Any], names: Sequence[str] | None = None) -> pa.Table:
    """Return features as a table.

    Args:
        x: the features that `check_x` returned.
        names: names for the columns, in order. None: keep a table's names; the columns of an array
            are called `x0`, `x1`, ...
    """
    if not isinstance(x, pa.Table):
        small = x.dtype.kind in "ib" or (x.dtype.kind == "u" and x.dtype.itemsize < 8)
        x = to_table(x.astype(np.int64 if small else np.float64))
    return x if names is None else x.rename_columns(list(names))


def quick_features(x: pa.Table | NDArray[Any], schema: Schema) -> Features | None:
    """Encode an array of numbers as a whole; return None if each column must be encoded alone."""
    if isinstance(x, pa.Table) or len(schema.num_columns) != x.shape[1]:
        return None
    if schema.missing_values or any(column.offset for column in schema.num_columns):
        return None
    n_rows = len(x)
    codes = np.empty((n_rows, 0), dtype=np.int64)
    return Features(x.astype(np.float64), codes, np.empty((n_rows, 0)))


def _name_columns(x: Any) -> Any:
    """Turn data that has named columns but is not a frame into a table.

    Raises:
        TableError: it is a path, or its columns do not make a table.
    """
    if isinstance(x, str | Path):
        raise TableError(
            "X must hold rows",
            got=f"the text {str(x)!r}",
            fix="Read the file first, for example with pandas.read_csv.",
        )
    columns = name_columns(x)
    is_mapping = isinstance(columns, Mapping) and not hasattr(x, "tocsr")  # not a sparse matrix
    return to_table(columns) if is_mapping else x


def _name_target(names: Sequence[str]) -> str:
    """Choose a name for the target that no feature has."""
    free = (name for name in _TARGET_NAMES if name not in names)
    return next(free, "_".join(["y", *names]))


def _check_frame(estimator: BaseEstimator, x: Any, *, reset: bool) -> None:
    """Check the column names of a frame as scikit-learn does, and suggest similar names."""
    try:
        validate_data(estimator, x, reset=reset, skip_check_array=True)
    except ValueError as error:
        names = x.column_names if isinstance(x, pa.Table) else [str(name) for name in x.columns]
        learned = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
        absent = [name for name in learned if name not in names]
        hint = suggest_names(absent, [name for name in names if name not in learned])
        if not hint or reset:
            raise
        raise ValueError(f"{str(error).rstrip()}\n{hint}") from None


def _keep_missing(x: Any) -> Any:
    """Return lists as an array of objects where numpy would turn NaN into the text "nan"."""
    if not isinstance(x, list | tuple):
        return x
    array = np.asarray(x)
    if array.dtype.kind != "U":
        return x
    cells = np.asarray(x, dtype=object)
    return cells if missing_mask(cells).any() else x


def _check_weights(sample_weight: ArrayLike | None, n_rows: int) -> Floats | None:
    if sample_weight is None:
        return None
    weights = np.asarray(fill_masked(sample_weight), dtype=np.float64)
    return _check_shape(
        np.full(n_rows, weights) if not weights.ndim else weights, "sample_weight", n_rows
    )


def _as_column(values: ArrayLike, name: str, n_rows: int) -> pa.ChunkedArray:
    cells = np.asarray(fill_masked(to_eager(values)))
    return to_table({name: _check_shape(cells, name, n_rows)}).column(name)


def _check_shape(values: NDArray[Any], name: str, n_rows: int) -> NDArray[Any]:
    if values.shape != (n_rows,):
        raise SchemaError(
            f"{name} must have one value for each row of X",
            but=f"its shape is {values.shape}, and X has {n_rows} rows",
            fix=f"Pass {name} as one column of {n_rows} values.",
        )
    return values


def _cells(column: NDArray[Any], *, typed: bool) -> Any:
    """Return a column as times if that is its type, else as numbers if possible, else as text.

    Args:
        column: a column of a non-numeric array.
        typed: keep Python booleans and times, as in a frame, instead of turning them into numbers
            or text.
    """
    if column.dtype.kind in _TIMES:
        return column
    cells = [None if is_missing_cell(cell) else cell for cell in column.tolist()]
    present = [cell for cell in cells if cell is not None]
    kinds = {type(cell) for cell in present}
    try:
        if typed and all(issubclass(kind, bool | dt.date | dt.timedelta) for kind in kinds):
            return pa.array(cells, from_pandas=True)
        if kinds == {int} and max(map(abs, present)) > _EXACT:
            return pa.array(cells, pa.int64())
        if all(isinstance(cell, bool | int | float) for cell in present):
            return pa.array(np.array(cells, dtype=np.float64), from_pandas=True)
    except (TypeError, ValueError, OverflowError):
        pass
    return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
