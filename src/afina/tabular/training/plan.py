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
from afina.table import Observations, Schema
from afina.tabular.events import FitObserver
from afina.tabular.preparation.rows import (
    Floats,
    Rows,
    even_weights,
    merge_identical,
    part_heavy,
)
from afina.tabular.probabilities import to_predictions
from afina.tabular.scoring import check_watched, score
from afina.tabular.training.losses import make_loss
from afina.tabular.training.resolve import DataFacts, choose_threads, resolve
from afina.tabular.training.tabular_model import (
    Built,
    TabularModel,
    build_model,
    fit_preprocessing,
)
from afina.tabular.training.time_limit import TimeLimit, choose_finishing_s
from afina.train import Observer, Result, StopEvent, Trainer
from afina.train.batches import EVAL_ROWS
from afina.train.keywords import keywords_of
from afina.train.processes import ALONE, Processes

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
        score_weights: weights of the validation rows that scores use. None: those in `val`.
    """

    built: Built
    train: Data
    val: Data | None
    config: Config
    notes: tuple[str, ...] = ()
    score_weights: Floats | None = None

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
    observations: Observations | None = None,
    threads: int | None = None,
    lr: float | None = None,
) -> Plan:
    """Fit preprocessing, build the network and arrange the rows for training.

    Args:
        train: training rows, unchanged from the table.
        val: validation rows, unchanged from the table; with folds, `train` itself.
        n_classes: number of classes, 0 for regression.
        observations: see `DataFacts`.
        threads: number of threads of the run to resume. None: follow the settings.
        lr: learning rate found by the run to resume. None: follow the settings.
    """
    # Even if nothing is held out: a score that does not exist is a mistake either way.
    check_watched(config.stop, n_classes)
    with torch_threads(1):  # sums must not depend on the number of threads
        merged = merge_identical(train)
        fitted = fit_preprocessing(merged, schema, n_classes, config, observations)
        parted = part_heavy(merged)
        facts = DataFacts(
            n_rows=len(parted),
            n_classes=n_classes,
            n_folds=1 if train.folds is None else config.n_folds,
            validates=val is not None,
            n_bins=fitted.n_bins,
            n_embedded=len(fitted.edges),
            target_kind=fitted.target.kind,
            observations=observations,
        )
        config = resolve(config, facts)
        built = build_model(fitted, schema, n_classes, config)
        data = as_data(built.model, parted)
        val_rows = parted if val is train else None if val is None else merge_identical(val)
        held_out = data if val is train else None
        if val_rows is not None and held_out is None:
            held_out = as_data(built.model, val_rows)
    for_scores = None if val_rows is None else val_rows.score_weights
    plan = Plan(built, data, held_out, config, score_weights=for_scores)
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
    startup_s: float = 0.0,
    resume: bool = False,
    processes: Processes = ALONE,
) -> Result:
    """Train the plan's network, and leave the best weights in it.

    If the time limit runs out before the first step, the network stays untrained, at step 0.

    Args:
        started: `time.monotonic()` at which `stop.time_limit` starts to count. None: now.
        startup_s: seconds that Python took to start.
        processes: the processes of the run, which must agree on whether there is time.
    """
    observers: list[Observer] = [] if listen is None else [_passing_on(listen)]
    if plan.config.stop.time_limit is not None:
        finishing_s = choose_finishing_s(startup_s, in_memory=run_dir is None)
        limit = _time_limit(plan, plan.config.stop.time_limit, started, finishing_s)
        if not resume and processes.broadcast_json(limit.is_up()):
            stop = _stop_before_training(plan, limit.why)
            for observer in observers:
                observer(stop)
            return Result(stop, (stop,), plan.built.n_parameters)
        observers.append(limit)
    with torch_threads(plan.threads):
        trainer = make_trainer(plan, run_dir=run_dir, observers=observers)
        return trainer.fit(plan.train, plan.val, resume=resume)


def _time_limit(plan: Plan, limit_s: float, started: float | None, finishing_s: float) -> TimeLimit:
    return TimeLimit(
        limit_s,
        started=time.monotonic() if started is None else started,
        finishing_s=finishing_s,
        look_s=0.0 if plan.val is None else _expect_look_s(plan, plan.val[0]),
    )


def _expect_look_s(plan: Plan, inputs: tuple[Tensor, ...]) -> float:
    """Time the network on some rows, and return the expected time for all of them."""
    some = tuple(part[:EVAL_ROWS] for part in inputs)
    trainer = make_trainer(plan)
    times = []
    for _ in range(2):  # the first time, memory is prepared
        before = time.monotonic()
        trainer.predict(some)
        times.append(time.monotonic() - before)
    return min(times) * len(inputs[0]) / max(1, len(some[0]))


def _stop_before_training(plan: Plan, why: str) -> StopEvent:
    monitor = None if plan.val is None else plan.config.stop.monitor
    return StopEvent(0, 0, "observer", why, monitor, None, None, None)


def make_trainer(
    plan: Plan, *, run_dir: Path | None = None, observers: Sequence[Observer] = ()
) -> Trainer:
    """Return the trainer that the settings describe."""
    model, config = plan.built.model, plan.config
    keywords = keywords_of(config.train, config.stop) | {"eval_batch_size": EVAL_ROWS}
    if has_lr_factors(config.train):  # the trainer has no keywords for them
        make = partial(optimizer_from, config.train)
        keywords |= {"optimizer": make, "lr": None, "weight_decay": None}
    smoothing = resolved(config.train.label_smoothing)
    return Trainer(
        model.network,
        loss=make_loss(model.n_classes, n_members=model.n_members, label_smoothing=smoothing),
        scores=score_with(model, config.stop.watched, plan.score_weights),
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


def score_with(
    model: TabularModel, watched: str = "val/loss", score_weights: Floats | None = None
) -> Callable[[Any, Any, Any], Mapping[str, float]]:
    """Return a function that scores a network's outputs in the target's own units.

    Args:
        model: the model that the network belongs to.
        watched: what decides which weights are best; it must be among the scores.
        score_weights: weights of all rows, instead of those that the loss uses.
    """
    extra = "f1" if watched == "val/f1" else None  # not among the usual scores

    def scores(outputs: Tensor, y: Tensor, weights: Tensor | None) -> Mapping[str, float]:
        if not model.n_classes:
            outputs, y = model.target(outputs[:, 0]), model.target.undo(y[:, 0])
        predictions = to_predictions(outputs.double().numpy(), model.n_classes)
        row_weights = None if weights is None else weights.double().numpy()
        row_weights = row_weights if score_weights is None else score_weights
        return score(predictions, y.numpy(), row_weights, extra)

    return scores


def _passing_on(listen: FitObserver) -> Callable[[object], None]:
    """Let an observer read the trainer's events, but ignore the values that it returns."""

    def observer(event: object) -> None:
        listen(event)

    return observer
