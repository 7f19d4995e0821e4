"""Resolve `auto` once the data is known: replace it with a value in every setting."""

import os
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from afina.config import (
    Config,
    ModelSettings,
    PreprocessSettings,
    StopSettings,
    TrainSettings,
)
from afina.errors import SchemaError
from afina.nn import MemberStart
from afina.optim.settings import OptimizerName
from afina.preprocess.settings import Encoding, TargetKind
from afina.table import Observations, Schema, did_you_mean
from afina.tabular.scoring import check_monitor

# Pairs of a largest number of training rows, and the rows per step up to that number. Shampoo's
# steps achieve more and cost more, and lose nothing on larger batches (evidence/recipe.md).
_BATCHES = ((2_000, 32), (10_000, 64), (30_000, 128), (100_000, 256), (300_000, 512))
_LARGEST_BATCH = 1024
_BATCHES_OF_SHAMPOO = ((2_000, 64), (10_000, 256), (30_000, 512), (100_000, 1024))
_LARGEST_OF_SHAMPOO = 2048
_MOST_THREADS = 4
_ROWS_TIMES_NUMBERS = 1 << 28
_MOST_LOGGED = 20_000
_DROPOUT = 0.1
_MANY_NUMBERS = 24
_ROWS_A_BIN, _LEAST_BINS, _MOST_BINS = 64, 2, 128
_OTHERS = 4  # at most this many rows count for each row outside the most common class
_MANY_BINS = 64  # with this many bins, a column with up to twice as many values holds codes
_OFTEN = 8  # with this many rows per combination, each can be looked up
_ADDED_TO_CLASS, _MOST_ADDED = 2, 32  # rows that smoothing stands for (docs/log.md)


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The facts about the data that `auto` depends on.

    Args:
        n_rows: number of training rows in an epoch.
        n_classes: number of classes, 0 for regression.
        n_folds: number of folds of the training rows. 1: no folds.
        validates: whether there are rows to validate on.
        n_bins: largest number of bins for a numeric column.
        n_embedded: number of embedded numeric columns.
        target_kind: the fitted transform of the target.
        observations: the number of rows, and of distinct combinations of features, if identical
            rows are repeated observations. None: they are not.
    """

    n_rows: int
    n_classes: int
    n_folds: int
    validates: bool
    n_bins: int
    n_embedded: int
    target_kind: TargetKind | None
    observations: Observations | None = None


def resolve(config: Config, facts: DataFacts) -> Config:
    """Replace every `auto` with a value for this data, and switch off settings that have no effect.

    Two settings remain, because choosing them requires a network: `threads` (see `choose_threads`) and
    `lr = "find"`.

    Example:
        >>> facts = DataFacts(n_rows=3_500, n_classes=2, n_folds=6, validates=True, n_bins=54,
        ...                   n_embedded=9, target_kind=None)
        >>> config = resolve(Config(), facts)
        >>> config.train.batch_size, config.model.dropout, config.stop.monitor
        (256, 0.1, 'val/loss')
    """
    return replace(
        config,
        table=replace(config.table, folds=facts.n_folds),
        preprocess=_resolve_preprocess(config.preprocess, facts),
        model=_resolve_model(config.model, facts),
        train=_resolve_train(config.train, facts),
        stop=_resolve_stop(config, facts),
    )


def _resolve_preprocess(settings: PreprocessSettings, facts: DataFacts) -> PreprocessSettings:
    clips = settings.clip_predictions and not facts.n_classes
    return replace(settings, target_transform=facts.target_kind, clip_predictions=clips)


def _resolve_model(settings: ModelSettings, facts: DataFacts) -> ModelSettings:
    embeds = facts.n_embedded > 0
    width = 4 if facts.n_embedded > _MANY_NUMBERS else 8  # many columns make the input wide
    dropout = _DROPOUT if facts.n_classes else 0.0  # docs/log.md
    scaled = embeds and settings.members_differ in ("input", "layers")
    start: MemberStart = "normal" if scaled else "signs"
    return replace(
        settings,
        n_bins=facts.n_bins,
        numeric_embedding=settings.numeric_embedding if embeds else None,
        d_numeric=width if settings.d_numeric == "auto" else settings.d_numeric,
        dropout=dropout if settings.dropout == "auto" else settings.dropout,
        member_start=start if settings.member_start == "auto" else settings.member_start,
    )


def _resolve_train(settings: TrainSettings, facts: DataFacts) -> TrainSettings:
    if isinstance(settings.batch_size, int):
        batch_size = settings.batch_size
    else:
        batch_size = choose_batch_size(facts.n_rows, settings.optimizer)
        if isinstance(settings.microbatch_size, int):
            batch_size = max(batch_size, settings.microbatch_size)
    n_steps = -(-facts.n_rows // batch_size)
    decay = settings.ema_decay
    return replace(
        settings,
        batch_size=batch_size,
        ema_decay=1.0 - 1.0 / n_steps if isinstance(decay, str) else decay,
        weight_decay=0.0 if settings.optimizer == "adam" else settings.weight_decay,
        label_smoothing=choose_smoothing(settings.label_smoothing, facts),
        log_every=max(1, n_steps * settings.max_epochs // _MOST_LOGGED),
    )


def _resolve_stop(config: Config, facts: DataFacts) -> StopSettings:
    settings, preprocess = config.stop, config.preprocess
    name = settings.watched.removeprefix("val/")
    # With a target transform, the loss is not in the target's units: let the error that users see
    # decide instead.
    bent = facts.target_kind is not None or (preprocess.clip_predictions and not facts.n_classes)
    monitor = "val/rmse" if bent and name == "loss" else f"val/{name}"
    return replace(
        settings,
        monitor=monitor,
        higher_is_better=check_monitor(monitor, facts.n_classes),
        patience=settings.patience if facts.validates else None,
        patience_extends_while=settings.patience_extends_while if facts.validates else None,
    )


def choose_smoothing(setting: float | Literal["auto"], facts: DataFacts) -> float:
    """Choose the share of the target probability spread over the classes.

    Where a few combinations are observed often, one of them may have only a few rows, all of one
    class. Nothing but smoothing then keeps a network from being certain of that class.
    """
    if not isinstance(setting, str):
        return setting
    observations = facts.observations
    if observations is None or not facts.n_classes:
        return 0.0
    added = _ADDED_TO_CLASS * facts.n_classes
    added += min((observations.n_distinct - 1) // 2, _MOST_ADDED)
    return added / (observations.n_rows + added)


def choose_batch_size(n_rows: int, optimizer: OptimizerName = "adamw") -> int:
    """Choose the number of rows per step from the number of training rows and the optimizer.

    Example:
        >>> [choose_batch_size(n) for n in (100, 3_500, 50_000, 10**6)]
        [32, 64, 256, 1024]
        >>> [choose_batch_size(n, "shampoo") for n in (100, 3_500, 50_000, 10**6)]
        [64, 256, 1024, 2048]
    """
    with_shampoo = optimizer == "shampoo"
    for most, size in _BATCHES_OF_SHAMPOO if with_shampoo else _BATCHES:
        if n_rows <= most:
            return size
    return _LARGEST_OF_SHAMPOO if with_shampoo else _LARGEST_BATCH


def choose_threads(work: int) -> int:
    """Choose the number of threads from rows per step times parameters: one unless it is large."""
    return 1 if work < _ROWS_TIMES_NUMBERS else min(os.cpu_count() or 1, _MOST_THREADS)


def choose_n_bins(
    n_bins: int | Literal["auto"], n_rows: int, n_most_common: int | None = None
) -> int:
    """Choose the largest number of bins from the distinct training rows: finer curves need more rows.

    Args:
        n_bins: the setting.
        n_rows: distinct training rows.
        n_most_common: rows of the most common class; those beyond three for each row of the other
            classes add little.

    Example:
        >>> [choose_n_bins("auto", n) for n in (50, 640, 10**6)]
        [2, 10, 128]
        >>> choose_n_bins("auto", 6400, 3200), choose_n_bins("auto", 6400, 6000)
        (100, 25)
    """
    if not isinstance(n_bins, str):
        return n_bins
    if n_most_common is not None:
        n_rows = min(n_rows, _OTHERS * (n_rows - n_most_common))
    return max(_LEAST_BINS, min(_MOST_BINS, n_rows // _ROWS_A_BIN))


def choose_n_values(n_bins: int, observations: Observations | None) -> int:
    """Choose how many distinct values a column may have for each to get an edge of its own.

    With many bins, a column with up to twice as many values holds codes rather than quantities.
    Where each combination is observed often, it can be looked up.

    Example:
        >>> choose_n_values(10, None), choose_n_values(100, None)
        (0, 200)
        >>> choose_n_values(2, Observations(n_rows=600, n_distinct=60))
        60
    """
    n_values = 2 * n_bins if n_bins >= _MANY_BINS else 0
    if observations is None or observations.n_rows < _OFTEN * observations.n_distinct:
        return n_values
    return max(n_values, min(observations.n_distinct, 2 * _MOST_BINS))


def most_common(y: NDArray[np.int64] | NDArray[np.float64]) -> int:
    """Count the rows of the most common class."""
    return int(np.bincount(y.astype(np.int64)).max())


def choose_encodings(schema: Schema, settings: PreprocessSettings) -> tuple[Encoding, ...]:
    """Choose the encoding of each categorical column: as set, or by its number of levels.

    Raises:
        SchemaError: an encoding is set for a column that is not categorical.
    """
    for name in settings.encodings:
        if name not in schema.cat_names:
            kind = {column.name: column.kind for column in schema.columns}.get(name)
            hint = "" if kind else did_you_mean(name, schema.names).strip()
            raise SchemaError(
                "preprocess.encodings must name categorical columns",
                got=f"{name!r}, which is {kind or 'not a feature column'}",
                fix=hint or "Set its kind with --kind (in Python: kinds=...), or leave it out.",
            )
    return tuple(
        settings.encodings.get(column.name) or _by_levels(len(column.vocabulary), settings)
        for column in schema.cat_columns
    )


def _by_levels(n_levels: int, settings: PreprocessSettings) -> Encoding:
    if settings.categories != "auto":
        return settings.categories
    return "onehot" if n_levels <= settings.onehot_max else "embedding"
