"""`AfinaClassifier` and `AfinaRegressor`, which follow scikit-learn's conventions."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from afina.config import preset_arguments
from afina.errors import AfinaWarning
from afina.preprocess.settings import Encoding
from afina.table import Kind, encode
from afina.tabular.estimators.arguments import make_settings, untouched_on_failure
from afina.tabular.estimators.attributes import as_history, list_columns
from afina.tabular.estimators.display import show_progress
from afina.tabular.estimators.fit_rows import fit_rows
from afina.tabular.estimators.inputs import (
    as_table,
    check_rows,
    check_val_rows,
    check_x,
    choose_val_rows,
    predict_one_row,
    quick_features,
)
from afina.tabular.estimators.labels import sort_classes
from afina.tabular.estimators.typos import check_arguments, names_typos
from afina.tabular.preparation.prepare import describe_left_out
from afina.tabular.preparation.rows import Floats


class _Estimator(BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    """The settings and methods of both estimators; scikit-learn reads the signature."""

    @names_typos
    def __init__(
        self,
        *,
        kinds: Mapping[str, Kind] | None = None,
        class_weight: Mapping[Any, float] | str | None = None,
        folds: int | str = "auto",
        val_frac: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
        run_dir: str | Path | None = None,
        verbose: bool | int | str | None = None,
        # [[[cog
        # import generate_signatures
        # cog.out(generate_signatures.estimator_arguments())
        # ]]]
        scaling: str | None = "robust",
        categories: str = "auto",
        encodings: Mapping[str, Encoding] | None = None,
        onehot_max: int = 64,
        embedding_dim: int | str = 8,
        min_count: int = 2,
        unknown_rate: float = 0.02,
        impute: str = "median",
        target_transform: str | None = None,
        clip_predictions: bool = False,
        n_blocks: int = 2,
        d_block: int = 64,
        residual: bool = False,
        activation: str = "relu",
        norm: str | None = None,
        norm_place: str = "post",
        norm_momentum: float = 0.1,
        norm_eps: float = 1e-05,
        dropout: float | str = "auto",
        parametric_activation: bool = False,
        numeric_embedding: str | None = "piecewise",
        n_bins: int | str = "auto",
        d_numeric: int | str = "auto",
        n_frequencies: int = 16,
        frequency_sigma: float = 0.1,
        feature_scale: bool = False,
        members: int = 6,
        members_differ: str = "weights",
        linear_skip: bool = True,
        member_start: str = "auto",
        init: str = "torch",
        init_constant: float = 0.01,
        max_epochs: int = 256,
        batch_size: int | str = "auto",
        microbatch_size: int | str | None = None,
        batchnorm: str = "microbatch",
        precision: str = "float32",
        compile: bool = False,  # noqa: A002 - the setting's name
        activation_checkpointing: bool = False,
        sharding: str | None = None,
        optimizer: str = "shampoo",
        lr: float | str = 0.003,
        momentum: float = 0.9,
        beta1: float = 0.9,
        beta2: float = 0.98,
        weight_decay: float = 0.0003,
        l2: float = 0.0,
        bias_lr_factor: float = 1.0,
        scale_lr_factor: float = 1.0,
        activation_lr_factor: float = 1.0,
        numeric_lr_factor: float = 1.0,
        schedule: str = "constant",
        warmup_steps: int = 0,
        max_grad_norm: float | None = 1.0,
        averaging: str | None = "ema",
        ema_decay: float | str = "auto",
        averaging_start: int = 0,
        label_smoothing: float | str = "auto",
        threads: int | str = "auto",
        patience: int | None = 4,
        patience_share: float = 0.0,
        patience_extends_while: str | None = None,
        patience_budget: float = 50.0,
        min_delta: float = 0.0,
        time_limit: float | None = None,
        monitor: str = "val/loss",
        metric: str | None = None,
        # [[[end]]]
    ) -> None:
        # scikit-learn requires each argument to be stored unchanged, under its own name.
        self.__dict__.update({k: value for k, value in locals().items() if k != "self"})

    @classmethod
    def from_preset(cls, name: str, **arguments: Any) -> Self:
        """Make an estimator with the settings of a preset.

        Args:
            name: the preset: "fast", "default", "best" or "plain".
            arguments: settings that override the preset.

        Raises:
            ConfigError: there is no such preset.

        Example:
            >>> AfinaRegressor.from_preset("plain", random_state=1).members
            1
        """
        return cls(**preset_arguments(name) | arguments)

    def set_params(self, **params: Any) -> Self:
        """Set arguments by name.

        Raises:
            ConfigError: there is no such argument; the most similar one is suggested.
        """
        check_arguments(params, self.get_params(deep=False), type(self).__name__)
        super().set_params(**params)
        return self

    def __sklearn_tags__(self) -> Any:
        """Return the tags that scikit-learn's checks and meta-estimators read."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _fit(
        self,
        x: Any,
        y: Any,
        sample_weight: ArrayLike | None,
        val: tuple[Any, Any],
        groups: ArrayLike | None,
    ) -> Self:
        settings = make_settings(self.get_params(deep=False))
        classifies = isinstance(self, ClassifierMixin)
        table = replace(settings.table, task="classification" if classifies else "regression")
        given = check_rows(self, x, y, sample_weight=sample_weight, groups=groups)
        with show_progress(self.verbose, monitor=settings.stop.monitor) as listen:
            fitted = fit_rows(
                given,
                check_val_rows(self, *val, given.features.column_names),
                config=replace(settings, table=table),
                run_dir=None if self.run_dir is None else Path(self.run_dir),
                listen=listen,
            )
        if classifies:
            self.classes_, self._class_numbers = sort_classes(fitted.predictor.classes, y)
        self.predictor_ = fitted.predictor
        self.schema_ = fitted.predictor.schema
        self.notes_ = fitted.notes
        self.run_dir_ = fitted.run_dir
        self.stop_ = fitted.result.stop
        self.n_iter_ = fitted.result.stop.epoch
        self.history_ = as_history(fitted.result)
        self.columns_ = list_columns(self.schema_)
        left_out = describe_left_out(self.schema_, settings.table.kinds)
        if left_out is not None:
            warnings.warn(f"{left_out}. columns_ lists every column.", AfinaWarning, stacklevel=3)
        return self

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Save the fitted model in a folder, which `afina.load` and the command line read.

        `afina.load` returns a `Predictor`, whose `classes` may be in a different order from `classes_`.

        Args:
            path: a new or empty folder; missing parent folders are created.
            overwrite: replace a saved model that is already there.

        Raises:
            StorageError: something else is already there, or the folder cannot be written.
        """
        check_is_fitted(self)
        self.predictor_.save(path, overwrite=overwrite)

    def _predict(self, x: Any) -> Floats:
        """Return probabilities in the order of the predictor's classes, or predicted numbers."""
        check_is_fitted(self)
        quick = predict_one_row(self, x, self.predictor_)
        if quick is not None:
            return quick
        rows = check_x(self, x, reset=False)
        features = quick_features(rows, self.schema_)
        if features is None:
            names = [column.name for column in self.schema_.columns]
            features = encode(as_table(rows, names), self.schema_, source="X")
        return self.predictor_.predict_features(features, "X")


class AfinaClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc] # as above
    """Classify the rows of a table with a neural network, preprocessing included.

    Accepts pandas, polars and pyarrow frames, and anything numpy can turn into an array, with
    numbers, text, booleans, dates and missing values. All columns of a numeric array are numeric.

    The arguments are the settings of the sections preprocess, model, train and stop, with the same
    names and defaults (docs/reference/settings.md), and:

    Args:
        kinds: kinds of columns by name, to override inferred ones; arrays have the columns `x0`,
            `x1`, ...
        class_weight: weight by label, or "balanced": how much each row of a class counts in
            training and in `val/loss`, as `sample_weight` does. Predicted probabilities are then
            those of rows weighted this way. Scores are not weighted.
        val_frac: share of the distinct rows to hold out; these rows decide when to stop, unless
            `X_val` is given. With fewer than 40 distinct rows, none are held out.
        random_state: the seed of everything random. None: a new seed for each fit.
        run_dir: folder for checkpoints, metrics, model and report. If it is not
            empty, as in a second fit or in cross-validation, the run goes into a folder inside it:
            `0001`, `0002` and so on. None: nothing is written.
        verbose: True, or a whole number above 0: show the progress of training on one line. False or
            0: show nothing. None: show it in a terminal or notebook.

    Attributes:
        classes_: the labels, sorted.
        n_features_in_: number of columns.
        feature_names_in_: names of the columns, if they have names.
        columns_: how each column was treated: a list of mappings, each with a column's name, kind
            and reason. pandas.DataFrame turns it into a table.
        schema_: how each column was read, as `predictor_` uses it.
        predictor_: the fitted model, a `Predictor` like those that `afina.load` returns.
        n_iter_: epochs trained.
        history_: a mapping for each epoch, with `train/loss` and the validation scores.
        stop_: why training ended, and which epoch was best.
        notes_: sentences about choices that you might not expect.
        run_dir_: the folder that the run was written to. None: nothing was written.

    Example:
        >>> x = np.repeat([[0.0, 1.0], [1.0, 0.0]], 10, axis=0)
        >>> y = np.repeat(["no", "yes"], 10)
        >>> AfinaClassifier(d_block=16, max_epochs=20, lr=0.01).fit(x, y).predict([[1.0, 0.0]])
        array(['yes'], dtype='<U3')
    """

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        eval_set: Any = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train on rows and their labels.

        Args:
            X: features.
            y: labels.
            sample_weight: weight of each row, at least 0; a weight of 2 counts the row twice.
            X_val: rows that decide when to stop, instead of held-out training rows.
            y_val: labels of `X_val`.
            eval_set: another way to pass both: `(X_val, y_val)`, or a list of one such pair.
            groups: one value for each row; rows with the same value stay on one side of the split.
        """
        val = choose_val_rows(X_val, y_val, eval_set)
        with untouched_on_failure(self):
            return self._fit(X, y, sample_weight, val, groups)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict a label for each row."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[likeliest]
        return labels

    def predict_proba(self, X: Any) -> Floats:
        """Predict the probability of each class, in the order of `classes_`."""
        return self._predict(X)[:, self._class_numbers]

    def predict_row(self, row: Mapping[str, object]) -> Any:
        """Predict the label of one row, much faster than `predict` with a table of one row.

        Args:
            row: cells by column name; the columns of an array are called `x0`, `x1`, ...
        """
        likeliest = self.predict_proba_row(row).argmax()
        label = self.classes_[likeliest]
        return label.item() if isinstance(label, np.generic) else label

    def predict_proba_row(self, row: Mapping[str, object]) -> Floats:
        """Predict the probability of each class for one row; see `predict_row`."""
        check_is_fitted(self)
        return self.predictor_.predict_proba_row(row)[self._class_numbers]


class AfinaRegressor(RegressorMixin, _Estimator):  # type: ignore[misc] # as above
    """Predict a number for each row of a table with a neural network, preprocessing included.

    Arguments, attributes and inputs are those of `AfinaClassifier`, except that there is no
    `classes_`.

    Example:
        >>> x = np.linspace(-1, 1, 30)[:, None]
        >>> model = AfinaRegressor(d_block=16, max_epochs=50, lr=0.01).fit(x, 3 * x[:, 0])
        >>> bool(model.score(x, 3 * x[:, 0]) > 0.9)
        True
    """

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        eval_set: Any = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train; the arguments are those of `AfinaClassifier.fit`, with numbers instead of labels."""
        val = choose_val_rows(X_val, y_val, eval_set)
        with untouched_on_failure(self):
            return self._fit(X, y, sample_weight, val, groups)

    def predict(self, X: Any) -> Floats:
        """Predict a number for each row."""
        return self._predict(X)

    def predict_row(self, row: Mapping[str, object]) -> float:
        """Predict the number of one row; see `AfinaClassifier.predict_row`."""
        check_is_fitted(self)
        return float(self.predictor_.predict_row(row))
