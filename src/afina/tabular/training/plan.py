"""From prepared rows to a trained model: what `auto` means, and the call of the trainer."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from afina.config import Config, TrainConfig
from afina.optim import OptimizerName, Role, make_optimizer
from afina.table import Schema
from afina.tabular.environment import torch_threads
from afina.tabular.events import FitObserver
from afina.tabular.preparation.rows import Rows, even_weights, merge_identical, part_heavy
from afina.tabular.probabilities import to_predictions
from afina.tabular.scoring import check_monitor, score
from afina.tabular.training.losses import make_loss
from afina.tabular.training.tabular_model import Built, TabularModel, build_model
from afina.tabular.training.time_limit import TimeLimit
from afina.train import CheckpointPlan, Observer, Result, Trainer

# Up to so many training rows, so many rows a step; more rows, fewer and larger steps. Shampoo's
# steps are worth more and cost more, and lose nothing on larger batches (evidence/recipe.md).
_BATCHES = ((2_000, 32), (10_000, 64), (30_000, 128), (100_000, 256), (300_000, 512))
_LARGEST_BATCH = 1024
_BATCHES_OF_SHAMPOO = ((2_000, 64), (10_000, 256), (30_000, 512), (100_000, 1024))
_LARGEST_OF_SHAMPOO = 2048
_MOST_THREADS = 4
_ROWS_TIMES_NUMBERS = 1 << 28
_MOST_LOGGED = 20_000

Data = tuple[tuple[Tensor, ...], Tensor, Tensor | None]


@dataclass(frozen=True)
class Plan:
    """A model ready to train, and the rows it trains on.

    Args:
        built: the model.
        train: what the trainer gets.
        val: what decides when to stop; none: nothing is held out.
        batch_size: rows per step, as resolved.
        threads: processor threads, as resolved.
        monitor: the metric that decides what is best, as resolved.
        higher_is_better: whether more of it is better; none for the loss.
        lr: learning rate, as resolved.
        notes: sentences about what was found out on the way.
    """

    built: Built
    train: Data
    val: Data | None
    batch_size: int
    threads: int
    monitor: str
    higher_is_better: bool | None
    lr: float
    notes: tuple[str, ...] = ()


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
    """Fit preprocessing, build the network and lay out the rows.

    Args:
        train: training rows as they stand in the table.
        val: validation rows, likewise; with folds, `train` itself.
        n_classes: 0 for regression.
        threads: of the run that is resumed; none: as the settings say.
        lr: of the run that is resumed, where it was found; none: as the settings say.
    """
    # Also where nothing is held out: a monitor that cannot be is a mistake either way.
    check_monitor(config.stop.monitor, n_classes)
    with torch_threads(1):  # sums must not depend on how many there are
        merged = merge_identical(train)
        built = build_model(merged, schema, n_classes, config)
        parted = part_heavy(merged)
        data = as_data(built.model, parted)
        held_out = data if val is train else None
        if val is not None and val is not train:
            held_out = as_data(built.model, merge_identical(val))
    asked = config.train.batch_size
    batch_size = (
        choose_batch_size(len(parted), config.train.optimizer) if isinstance(asked, str) else asked
    )
    micro = config.train.microbatch_size
    if isinstance(micro, int):
        batch_size = max(batch_size, micro)  # only `auto` can be below
    if threads is None:
        wanted = config.train.threads
        work = batch_size * built.n_parameters
        threads = choose_threads(work) if isinstance(wanted, str) else wanted
    asked_lr = config.train.lr
    known = lr if isinstance(asked_lr, str) else asked_lr
    monitor = choose_monitor(config.stop.monitor, built.model)
    higher_is_better = check_monitor(monitor, n_classes)
    plan = Plan(built, data, held_out, batch_size, threads, monitor, higher_is_better, known or 1.0)
    return plan if known is not None else _with_found_lr(plan, config)


def train_model(
    plan: Plan,
    config: Config,
    *,
    run_dir: Path | None = None,
    listen: FitObserver | None = None,
    started: float | None = None,
    resume: bool = False,
) -> Result:
    """Train the plan's network; it ends on the best weights.

    Args:
        started: `time.monotonic()` from which `stop.time_limit` counts; none: now.
    """
    limit_s = config.stop.time_limit
    observers: list[Observer] = [] if listen is None else [_passing_on(listen)]
    if limit_s is not None:
        observers.append(
            TimeLimit(limit_s, started=time.monotonic() if started is None else started)
        )
    n_steps = steps_per_epoch(plan) * config.train.max_epochs
    trainer = make_trainer(
        plan,
        config,
        run_dir=run_dir,
        observers=observers,
        log_every=max(1, n_steps // _MOST_LOGGED),
    )
    with torch_threads(plan.threads):
        return trainer.fit(plan.train, plan.val, resume=resume)


def make_trainer(
    plan: Plan,
    config: Config,
    *,
    run_dir: Path | None = None,
    observers: Sequence[Observer] = (),
    log_every: int = 1,
) -> Trainer:
    """Return the trainer that the settings ask for."""
    model, train, stop, keep = plan.built.model, config.train, config.stop, config.checkpoint
    own = choose_optimizer(plan.lr, train)
    waits = plan.val is not None and stop.patience_extends_while != "none"
    extends: Literal["grokking"] | None = "grokking" if waits else None
    return Trainer(
        model.network,
        loss=make_loss(
            model.n_classes, n_members=model.n_members, label_smoothing=train.label_smoothing
        ),
        optimizer=own or train.optimizer,
        lr=None if own else plan.lr,
        weight_decay=None if own else train.weight_decay,
        l2=train.l2,
        momentum=train.momentum,
        beta1=train.beta1,
        beta2=train.beta2,
        max_grad_norm=train.max_grad_norm,
        schedule=train.schedule,
        warmup_steps=train.warmup_steps,
        batch_size=plan.batch_size,
        microbatch_size=train.microbatch_size,
        batchnorm=train.batchnorm,
        precision=train.precision,
        compile=train.compile,
        activation_checkpointing=train.activation_checkpointing,
        sharding=None if train.sharding == "none" else train.sharding,
        averaging=None if train.averaging == "none" else train.averaging,
        ema_decay=choose_ema_decay(train.ema_decay, steps_per_epoch(plan)),
        averaging_start=train.averaging_start,
        max_epochs=train.max_epochs,
        patience=None if plan.val is None else stop.patience,
        patience_share=stop.patience_share,
        patience_extends_while=extends,
        patience_budget=stop.patience_budget,
        min_delta=stop.min_delta,
        monitor=plan.monitor,
        higher_is_better=plan.higher_is_better,
        scores=score_with(model),
        seed=train.seed,
        run_dir=run_dir,
        checkpoints=CheckpointPlan(
            every_steps=keep.every_steps,
            every_epochs=keep.every_epochs,
            every_minutes=keep.every_minutes,
            keep_last=keep.keep_last,
            keep_best=keep.keep_best,
        ),
        observers=observers,
        log_every=log_every,
    )


def _with_found_lr(plan: Plan, config: Config) -> Plan:
    """Put in a learning rate that a range test suggests; the model is as before afterwards."""
    with torch_threads(plan.threads):
        lr = make_trainer(plan, config).find_lr(plan.train).suggestion
    return replace(plan, lr=lr, notes=(f"the range test suggests a learning rate of {lr:.2g}",))


def choose_monitor(asked: str, model: TabularModel) -> str:
    """Return the metric that decides, by its full name.

    Where predictions are not the outputs times a scale, the loss is not in the target's units:
    the error that a user sees decides in its place.
    """
    name = asked.removeprefix("val/")
    bent = model.target.kind != "none" or model.target.clips
    return "val/rmse" if bent and name == "loss" else f"val/{name}"


def choose_optimizer(lr: float, train: TrainConfig) -> Callable[[nn.Module], Optimizer] | None:
    """Return what makes an optimizer with learning rates by role; none: all have the same."""
    factors: dict[Role, float] = {
        "bias": train.bias_lr_factor,
        "scaling": train.scale_lr_factor,
        "activation": train.activation_lr_factor,
        "numeric": train.numeric_lr_factor,
    }
    chosen = {role: factor for role, factor in factors.items() if factor != 1.0}
    if not chosen:
        return None
    return partial(
        make_optimizer,
        train.optimizer,
        lr=lr,
        weight_decay=train.weight_decay,
        momentum=train.momentum,
        beta1=train.beta1,
        beta2=train.beta2,
        lr_factors=chosen,
    )


def steps_per_epoch(plan: Plan) -> int:
    """Count the optimizer's steps in one pass over the training rows."""
    return -(-len(plan.train[1]) // plan.batch_size)


def choose_ema_decay(asked: float | Literal["auto"], n_steps: int) -> float:
    """Choose the share of an average that stays at each step.

    Args:
        n_steps: steps of an epoch.

    Example:
        >>> choose_ema_decay("auto", 50)
        0.98
    """
    return 1.0 - 1.0 / n_steps if isinstance(asked, str) else asked


def choose_batch_size(n_rows: int, optimizer: OptimizerName = "adamw") -> int:
    """Choose rows per step by the number of distinct training rows, and by the optimizer.

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
    """Choose processor threads by rows per step times parameters: one, unless steps are large."""
    return 1 if work < _ROWS_TIMES_NUMBERS else min(os.cpu_count() or 1, _MOST_THREADS)


def as_data(model: TabularModel, rows: Rows) -> Data:
    """Preprocess rows once, and lay out folds, targets and weights for the trainer."""
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
    """Score a network's outputs in the target's own units."""

    def scores(outputs: Tensor, y: Tensor, weights: Tensor | None) -> Mapping[str, float]:
        if not model.n_classes:
            outputs, y = model.target(outputs[:, 0]), model.target.undo(y[:, 0])
        answers = to_predictions(outputs.double().numpy(), model.n_classes)
        return score(answers, y.numpy(), None if weights is None else weights.double().numpy())

    return scores


def _passing_on(listen: FitObserver) -> Callable[[object], None]:
    """Let an observer read what the trainer tells; what it returns stops nothing."""

    def observer(event: object) -> None:
        listen(event)

    return observer
