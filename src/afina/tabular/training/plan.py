"""From prepared rows to a trained model: make a plan, and run the trainer on it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from afina.config import Config
from afina.declaration import declarations, resolved
from afina.optim import OptimSettings, optimizer_from
from afina.process_state import torch_threads
from afina.table import Schema
from afina.tabular.events import FitObserver
from afina.tabular.preparation.rows import Rows, even_weights, merge_identical, part_heavy
from afina.tabular.probabilities import to_predictions
from afina.tabular.scoring import check_monitor, score
from afina.tabular.training.losses import make_loss
from afina.tabular.training.resolve import DataFacts, choose_threads, resolve
from afina.tabular.training.tabular_model import (
    Built,
    TabularModel,
    build_model,
    fit_preprocessing,
)
from afina.tabular.training.time_limit import TimeLimit
from afina.train import Observer, Result, Trainer
from afina.train.batches import EVAL_ROWS
from afina.train.keywords import keywords_of

Data = tuple[tuple[Tensor, ...], Tensor, Tensor | None]


@dataclass(frozen=True)
class Plan:
    """A model ready to train, and the rows it trains on.

    Args:
        built: the model.
        train: the rows the trainer gets.
        val: the rows that decide when to stop. None: no rows are held out.
        config: all settings, resolved.
        notes: sentences for the user about the data.
    """

    built: Built
    train: Data
    val: Data | None
    config: Config
    notes: tuple[str, ...] = ()

    @property
    def batch_size(self) -> int:
        """Rows per step."""
        return resolved(self.config.train.batch_size)

    @property
    def threads(self) -> int:
        """Processor threads."""
        return resolved(self.config.train.threads)

    @property
    def lr(self) -> float:
        """Learning rate."""
        return resolved(self.config.train.lr)

    def with_train(self, **changes: Any) -> "Plan":
        """Return the plan with changed settings of the section `train`."""
        train = replace(self.config.train, **changes)
        return replace(self, config=replace(self.config, train=train))


def make_plan(
    train: Rows,
    val: Rows | None,
    *,
    schema: Schema,
    n_classes: int,
    config: Config,
    threads: int | None = None,
    lr: float | None = None,
) -> Plan:
    """Fit preprocessing, build the network and arrange the rows for training.

    Args:
        train: training rows, unchanged from the table.
        val: validation rows, unchanged from the table; with folds, `train` itself.
        n_classes: number of classes, 0 for regression.
        threads: number of threads of the run to resume. None: follow the settings.
        lr: learning rate found by the run to resume. None: follow the settings.
    """
    # Even if nothing is held out: an invalid monitor is a mistake either way.
    check_monitor(config.stop.monitor, n_classes)
    with torch_threads(1):  # sums must not depend on the number of threads
        merged = merge_identical(train)
        fitted = fit_preprocessing(merged, schema, n_classes, config)
        parted = part_heavy(merged)
        facts = DataFacts(
            n_rows=len(parted),
            n_classes=n_classes,
            n_folds=1 if train.folds is None else config.n_folds,
            validates=val is not None,
            n_bins=fitted.n_bins,
            n_embedded=len(fitted.edges),
            target_kind=fitted.target.kind,
        )
        config = resolve(config, facts)
        built = build_model(fitted, schema, n_classes, config)
        data = as_data(built.model, parted)
        held_out = data if val is train else None
        if val is not None and val is not train:
            held_out = as_data(built.model, merge_identical(val))
    plan = Plan(built, data, held_out, config)
    if threads is None:
        chosen = config.train.threads
        work = plan.batch_size * built.n_parameters
        threads = choose_threads(work) if isinstance(chosen, str) else chosen
    plan = plan.with_train(threads=threads)
    if config.train.lr != "find":
        return plan
    return _with_found_lr(plan) if lr is None else plan.with_train(lr=lr)


def train_model(
    plan: Plan,
    *,
    run_dir: Path | None = None,
    listen: FitObserver | None = None,
    started: float | None = None,
    resume: bool = False,
) -> Result:
    """Train the plan's network, and leave the best weights in it.

    Args:
        started: `time.monotonic()` at which `stop.time_limit` starts to count. None: now.
    """
    limit_s = plan.config.stop.time_limit
    observers: list[Observer] = [] if listen is None else [_passing_on(listen)]
    if limit_s is not None:
        observers.append(
            TimeLimit(limit_s, started=time.monotonic() if started is None else started)
        )
    with torch_threads(plan.threads):
        trainer = make_trainer(plan, run_dir=run_dir, observers=observers)
        return trainer.fit(plan.train, plan.val, resume=resume)


def make_trainer(
    plan: Plan, *, run_dir: Path | None = None, observers: Sequence[Observer] = ()
) -> Trainer:
    """Return the trainer that the settings describe."""
    model, config = plan.built.model, plan.config
    keywords = keywords_of(config.train, config.stop) | {"eval_batch_size": EVAL_ROWS}
    if has_lr_factors(config.train):  # the trainer has no keywords for them
        make = partial(optimizer_from, config.train)
        keywords |= {"optimizer": make, "lr": None, "weight_decay": None}
    smoothing = config.train.label_smoothing
    return Trainer(
        model.network,
        loss=make_loss(model.n_classes, n_members=model.n_members, label_smoothing=smoothing),
        scores=score_with(model),
        run_dir=run_dir,
        checkpoints=config.checkpoint,
        observers=observers,
        **keywords,
    )


def has_lr_factors(settings: OptimSettings) -> bool:
    """Return whether some parameters have their own learning rate."""
    return any(
        getattr(settings, name) != declared.default
        for name, declared in declarations(OptimSettings).items()
        if declared.setting.scope == "table"
    )


def _with_found_lr(plan: Plan) -> Plan:
    """Set the learning rate that a range test suggests; the model does not change."""
    with torch_threads(plan.threads):
        lr = make_trainer(plan.with_train(lr=1.0)).find_lr(plan.train).suggestion
    note = f"the range test suggests a learning rate of {lr:.2g}"
    return replace(plan.with_train(lr=lr), notes=(note,))


def as_data(model: TabularModel, rows: Rows) -> Data:
    """Preprocess rows once, and arrange folds, targets and weights for the trainer."""
    with torch.no_grad():
        numbers, codes = model.inputs(
            torch.from_numpy(rows.x_num),
            torch.from_numpy(rows.x_cat),
            torch.from_numpy(rows.x_time),
        )
    inputs: tuple[Tensor, ...] = (numbers, codes)
    if rows.folds is not None:
        inputs = (*inputs, torch.from_numpy(rows.folds))
    if model.n_classes:
        y = torch.from_numpy(rows.y.astype(np.int64))
    else:
        y = model.target.standardize(torch.from_numpy(rows.y)).float()[:, None]
    weights = even_weights(rows.weights)
    if (weights == 1).all():  # torch's fused mean is faster than a weighted one
        return inputs, y, None
    return inputs, y, torch.from_numpy(weights).float()


def score_with(model: TabularModel) -> Callable[[Any, Any, Any], Mapping[str, float]]:
    """Return a function that scores a network's outputs in the target's own units."""

    def scores(outputs: Tensor, y: Tensor, weights: Tensor | None) -> Mapping[str, float]:
        if not model.n_classes:
            outputs, y = model.target(outputs[:, 0]), model.target.undo(y[:, 0])
        predictions = to_predictions(outputs.double().numpy(), model.n_classes)
        return score(predictions, y.numpy(), None if weights is None else weights.double().numpy())

    return scores


def _passing_on(listen: FitObserver) -> Callable[[object], None]:
    """Let an observer read the trainer's events, but ignore the values that it returns."""

    def observer(event: object) -> None:
        listen(event)

    return observer
