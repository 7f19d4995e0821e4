"""The estimators' fit: features and answers in memory to a trained predictor."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from afina.config import Config
from afina.table import Label, Schema, encode, group_ids, infer_schema
from afina.tabular.estimators.inputs import as_table, number_kinds, quick_features
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.preparation.prepare import (
    LEAST_TO_SPLIT,
    Prepared,
    Sides,
    divide_units,
    keep_together,
)
from afina.tabular.preparation.rows import Floats, Integers, Rows
from afina.tabular.run.finish import Run, finish_run, make_predictor
from afina.tabular.run.fit import resumable, run_files
from afina.tabular.run.run_folder import begin_folder, choose_folder
from afina.tabular.training.plan import Plan, make_plan, train_model
from afina.train import Result

Given: TypeAlias = pa.Table | NDArray[Any]


@dataclass(frozen=True)
class Answered:
    """Rows with answers, as checked.

    Args:
        x: features.
        y: class numbers, or the values of a regression target.
        weights: at least 0.
        groups: rows of equal value stay on one side of the split.
    """

    x: Given
    y: Integers | Floats
    weights: Floats
    groups: NDArray[Any] | None = None


@dataclass(frozen=True)
class Fitted:
    """What a fit in memory came to."""

    predictor: Predictor
    result: Result
    notes: tuple[str, ...]


def fit_rows(
    given: Answered,
    val: Answered | None,
    *,
    classes: tuple[Label, ...],
    config: Config,
    run_dir: Path | None,
) -> Fitted:
    """Train on rows in memory.

    Args:
        given: rows that train, or are split.
        val: rows that decide when to stop.
        classes: label of each class number; empty for regression.
        config: all settings.
        run_dir: where the run is written; none: nothing is.
    """
    started = time.monotonic()
    prepared = prepare_rows(given, val, classes, config)
    plan = make_plan(
        prepared.train,
        prepared.val,
        schema=prepared.schema,
        n_classes=len(classes),
        config=config,
    )
    if run_dir is None:
        result = train_model(plan, config, started=started)
    else:
        result = _train_into(run_dir, prepared, plan, config, started)
    return Fitted(make_predictor(prepared, plan, config), result, prepared.notes)


def prepare_rows(
    given: Answered, val: Answered | None, classes: tuple[Label, ...], config: Config
) -> Prepared:
    """Split rows, learn the schema from the training rows, and turn all rows into arrays."""
    table = as_table(given.x)
    n_rows = table.num_rows
    kept = np.flatnonzero(given.weights > 0)
    sides = _divide(table, given, kept, classes, config, has_val=val is not None)
    schema = infer_schema(
        table,
        rows=sides.train,
        weights=given.weights,
        kinds=number_kinds(given.x, config.table.kinds),
        missing_values=config.table.missing_values,
        min_count=config.preprocess.min_count,
        source="X",
    )
    rows = _lay_out(given, table, schema, "X")
    train = replace(_take(rows, sides.train), folds=sides.folds)
    held_out = None if sides.folds is None else train
    if sides.val is not None:
        held_out = _take(rows, sides.val)
    if val is not None:
        held_out = _lay_out(val, as_table(val.x), schema, "X_val")
    notes = []
    if held_out is None:
        notes.append(f"nothing is held out: fewer than {LEAST_TO_SPLIT} different rows")
    task = "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"
    return Prepared(
        schema,
        "y",
        task,
        classes,
        train,
        held_out,
        sides,
        n_rows,
        n_rows - len(kept),
        tuple(notes),
    )


def _divide(
    table: pa.Table,
    given: Answered,
    kept: Integers,
    classes: tuple[Label, ...],
    config: Config,
    *,
    has_val: bool,
) -> Sides:
    if has_val:
        return Sides(kept, None, f"all {len(kept):,} rows train, rows of their own validate")
    y = given.y
    groups = None
    if given.groups is not None:
        column = pa.chunked_array([pa.array(np.asarray(given.groups))])
        table = table.append_column("\x00group", column)
        groups = group_ids(column)[kept]
    ids = keep_together(table.take(pa.array(kept)), pa.chunked_array([y[kept]]))
    if ids.max() + 1 < LEAST_TO_SPLIT and groups is None:
        return Sides(kept, None, f"all {len(kept):,} rows train, nothing is held out")
    strata = y[kept].astype(np.int64) if classes else None
    return divide_units(kept, ids, config, strata=strata, groups=groups)


def _lay_out(given: Answered, table: pa.Table, schema: Schema, source: str) -> Rows:
    features = quick_features(given.x, schema)
    if features is None:
        features = encode(table, schema, source=source, tolerant=True)
    return Rows(features.x_num, features.x_cat, features.x_time, given.y, given.weights)


def _take(rows: Rows, numbers: Integers) -> Rows:
    return Rows(
        rows.x_num[numbers],
        rows.x_cat[numbers],
        rows.x_time[numbers],
        rows.y[numbers],
        rows.weights[numbers],
    )


def _train_into(
    run_dir: Path, prepared: Prepared, plan: Plan, config: Config, started: float
) -> Result:
    """Train with a run folder; its rows came from Python, so it cannot be resumed from disk."""
    run = choose_folder(run_dir, "estimator", overwrite=False)
    with begin_folder(run, run_files(None, None, config, prepared, plan)), resumable(run):
        result = train_model(plan, config, run_dir=run, started=started)
        made = Run(run, "rows passed from Python", config, prepared, plan, started)
        finish_run(made, result, lambda _event: None)
    return result
