"""`AfinaClassifier` and `AfinaRegressor`, which follow scikit-learn's conventions."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from afina.config import preset_arguments
from afina.preprocess.settings import Encoding
from afina.table import Kind, encode
from afina.tabular.estimators.arguments import make_settings, untouched_on_failure
from afina.tabular.estimators.fit_rows import fit_rows
from afina.tabular.estimators.inputs import (
    as_table,
    check_rows,
    check_val_rows,
    check_x,
    predict_one_row,
    quick_features,
)
from afina.tabular.estimators.labels import sort_classes
from afina.tabular.preparation.rows import Floats
from afina.train import EpochEvent, EvalEvent, Result


class _Estimator(BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    """The settings and methods of both estimators; scikit-learn reads the signature."""

    def __init__(
        self,
        *,
        kinds: Mapping[str, Kind] | None = None,
        class_weight: Mapping[Any, float] | str | None = None,
        folds: int | str = "auto",
        val_frac: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
        run_dir: str | Path | None = None,
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
        label_smoothing: float = 0.0,
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
        x_val: Any,
        y_val: Any,
        groups: ArrayLike | None,
    ) -> Self:
        settings = make_settings(self.get_params(deep=False))
        classifies = isinstance(self, ClassifierMixin)
        table = replace(settings.table, task="classification" if classifies else "regression")
        given = check_rows(self, x, y, sample_weight=sample_weight, groups=groups)
        fitted = fit_rows(
            given,
            check_val_rows(self, x_val, y_val, given.features.column_names),
            config=replace(settings, table=table),
            run_dir=None if self.run_dir is None else Path(self.run_dir),
        )
        if classifies:
            self.classes_, self._class_numbers = sort_classes(fitted.predictor.classes, y)
        self.predictor_ = fitted.predictor
        self.schema_ = fitted.predictor.schema
        self.notes_ = fitted.notes
        self.stop_ = fitted.result.stop
        self.n_iter_ = fitted.result.stop.epoch
        self.history_ = _as_history(fitted.result)
        return self

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
        val_frac: share of the distinct rows to hold out, which decide when to stop, unless `X_val`
            is given. With fewer than 40 distinct rows, none is held out.
        random_state: the seed of everything random. None: a new seed for each fit.
        run_dir: folder for checkpoints, metrics, model and report. None: nothing is written.

    Attributes:
        classes_: the labels, sorted.
        n_features_in_: number of columns.
        feature_names_in_: names of the columns, if they have names.
        schema_: how each column was read, and why.
        predictor_: the fitted model, a `Predictor` like those that `afina.load` returns.
        n_iter_: epochs trained.
        history_: a mapping for each epoch, with `train/loss` and the validation scores.
        stop_: why training ended, and which epoch was best.
        notes_: sentences about choices that you might not expect.

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
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train on rows and their labels.

        Args:
            X: features.
            y: labels.
            sample_weight: weight of each row, at least 0; a weight of 2 counts the row twice.
            X_val: rows that decide when to stop, instead of held-out training rows.
            y_val: labels of `X_val`.
            groups: one value for each row; rows with the same value stay on one side of the split.
        """
        with untouched_on_failure(self):
            return self._fit(X, y, sample_weight, X_val, y_val, groups)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict a label for each row."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[likeliest]
        return labels

    def predict_proba(self, X: Any) -> Floats:
        """Predict the probability of each class, in the order of `classes_`."""
        return self._predict(X)[:, self._class_numbers]


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
        groups: ArrayLike | None = None,
    ) -> Self:
        """Train; the arguments are those of `AfinaClassifier.fit`, with numbers for labels."""
        with untouched_on_failure(self):
            return self._fit(X, y, sample_weight, X_val, y_val, groups)

    def predict(self, X: Any) -> Floats:
        """Predict a number for each row."""
        return self._predict(X)


def _as_history(result: Result) -> list[dict[str, float]]:
    """Merge the records of each epoch into one mapping."""
    history: dict[int, dict[str, float]] = {}
    for event in result.history:
        if isinstance(event, EpochEvent):
            history.setdefault(event.epoch, {})["train/loss"] = event.loss
        elif isinstance(event, EvalEvent):
            history.setdefault(event.epoch, {}).update(event.metrics)
    return [{"epoch": epoch, **record} for epoch, record in sorted(history.items())]
