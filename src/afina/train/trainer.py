"""`Trainer`: the loop for any `nn.Module`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from afina.errors import ConfigError
from afina.optim import (
    OptimizerName,
    ScheduleName,
    decayed_parameters,
    make_optimizer,
    make_schedule,
)
from afina.storage import lock_folder
from afina.train import rng
from afina.train.batches import Data, eval_batches, input_batches, make_data
from afina.train.checkpoint import CheckpointPlan, Keeper, Snapshot
from afina.train.evaluate import Scores, evaluate_batches, predict_batches
from afina.train.events import (
    CheckpointEvent,
    EpochEvent,
    EvalEvent,
    Event,
    Observer,
    StopEvent,
)
from afina.train.interrupts import StopRequest, stop_requests
from afina.train.loop import Job, Limits, train
from afina.train.loss import Loss, make_weighted_loss
from afina.train.modes import has_batch_norm, train_mode
from afina.train.record import MetricsLog
from afina.train.resume import conditions, extend, find_snapshot, same_conditions
from afina.train.state import TrainState
from afina.train.stopping import Stopping

EVAL_ROWS = 4096


@dataclass(frozen=True)
class Result:
    """What a fit came to: why it ended, records since the last resume, trained numbers."""

    stop: StopEvent
    history: tuple[Event, ...]
    n_parameters: int


class Trainer:
    """Train any `nn.Module`: exact, resumable, and ending on the best weights.

    One *step* is one optimizer update and sees `batch_size` rows; `microbatch_size` says how many
    of them go through the model at once. The result is that of the whole batch, for every model
    that does not look across rows (batch normalization does: it then sees micro-batches).

    The model trains in the modes it is in; a model that is in eval mode as a whole is put in
    train mode first. Submodules left in eval mode by you (frozen batch normalization, say) stay so.

    Args:
        model: the network; it is trained in place.
        loss: a torch loss module or function, or `(outputs, targets) -> values`, one value per
            row or target; see `afina.train.make_weighted_loss`.
        loss_weight: for a loss that returns a mean: the weight it stands for.
        optimizer: `"adamw"`, `"adam"`, `"sgd"`, a torch optimizer over the model's parameters,
            or a callable `model -> optimizer`. The settings from `lr` to `beta2` are for the
            named ones; an optimizer of your own keeps its settings.
        lr: learning rate before the schedule; 1e-3 by default.
        weight_decay: decoupled decay of weight matrices, not of biases or norms; 0 by default.
        l2: penalty (l2 / 2) * sum of squares of weight matrices, in the loss.
        momentum: of sgd.
        beta1: decay of the mean gradient, adam and adamw.
        beta2: decay of the mean squared gradient, adam and adamw.
        max_grad_norm: longest gradient, 2-norm over all parameters; none: any.
        schedule: `"constant"`, `"cosine"`, `"onecycle"`, or a function of the step number that
            gives the factor of the learning rate.
        warmup_steps: steps of linear warm-up (named schedules).
        batch_size: rows per step; for tensors 256 by default. For an iterable of batches: none
            makes each batch a step; a number takes batches together up to so many rows.
        microbatch_size: most rows per forward and backward; none: all at once.
        max_epochs: most passes over the data.
        max_steps: most steps.
        eval_every: epochs between evaluations.
        patience: evaluations without improvement before training stops; none: never.
        min_delta: what counts as an improvement.
        monitor: the metric that decides what is best.
        higher_is_better: direction of `monitor`; known for losses.
        scores: `(outputs, targets, weights) -> {name: value}` over all validation rows; the names
            appear as `val/<name>`.
        seed: everything random follows from it.
        run_dir: folder for checkpoints and metrics.jsonl; none: nothing is written.
        checkpoints: when checkpoints are written and which stay.
        observers: callables that get every event; see `afina.train.events`.
        log_every: of how many steps one is written to metrics.jsonl.

    Example:
        >>> x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
        >>> trainer = Trainer(nn.Linear(3, 1), loss=nn.MSELoss(), lr=0.1, max_epochs=5)
        >>> trainer.fit((x, x.sum(1, keepdim=True))).stop.reason
        'max_epochs'
        >>> trainer.predict(x).shape
        torch.Size([64, 1])
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        loss: Loss,
        loss_weight: Callable[[Any, Any], float] | None = None,
        optimizer: OptimizerName | Optimizer | Callable[[nn.Module], Optimizer] = "adamw",
        lr: float | None = None,
        weight_decay: float | None = None,
        l2: float = 0.0,
        momentum: float = 0.9,
        beta1: float = 0.9,
        beta2: float = 0.999,
        max_grad_norm: float | None = None,
        schedule: ScheduleName | Callable[[int], float] = "constant",
        warmup_steps: int = 0,
        batch_size: int | None = None,
        microbatch_size: int | None = None,
        max_epochs: int = 100,
        max_steps: int | None = None,
        eval_every: int = 1,
        patience: int | None = None,
        min_delta: float = 0.0,
        monitor: str = "val/loss",
        higher_is_better: bool | None = None,
        scores: Scores | None = None,
        seed: int = 0,
        run_dir: str | Path | None = None,
        checkpoints: CheckpointPlan | None = None,
        observers: Sequence[Observer] = (),
        log_every: int = 1,
    ) -> None:
        _check_counts(
            batch_size=batch_size,
            microbatch_size=microbatch_size,
            max_epochs=max_epochs,
            max_steps=max_steps,
            eval_every=eval_every,
            patience=patience,
            log_every=log_every,
        )
        if batch_size and microbatch_size and microbatch_size > batch_size:
            raise ConfigError(
                f"microbatch_size must not exceed batch_size, however: {microbatch_size=}, "
                f"{batch_size=}. Use {batch_size} or less."
            )
        if higher_is_better is None:
            if not monitor.endswith("loss"):
                raise ConfigError(
                    f"higher_is_better must be given for a metric that is no loss, however: "
                    f"{monitor=}. Pass higher_is_better=True or False."
                )
            higher_is_better = False
        self.model = model
        self.loss = make_weighted_loss(loss, loss_weight)
        self.optimizer_wanted = optimizer
        _check_optimizer(optimizer, lr, weight_decay)
        self.rates = {"lr": 1e-3 if lr is None else lr, "weight_decay": weight_decay or 0.0}
        self.moments = {"momentum": momentum, "beta1": beta1, "beta2": beta2}
        self.l2, self.max_grad_norm = l2, max_grad_norm
        self.schedule, self.warmup_steps = schedule, warmup_steps
        self.batch_size, self.microbatch_size = batch_size, microbatch_size
        self.limits = Limits(max_epochs=max_epochs, max_steps=max_steps, eval_every=eval_every)
        self.patience, self.min_delta = patience, min_delta
        self.monitor, self.higher_is_better = monitor, higher_is_better
        self.scores = scores
        self.seed = seed
        self.run_dir = None if run_dir is None else Path(run_dir)
        self.plan = checkpoints or CheckpointPlan()
        self.observers = tuple(observers)
        self.log_every = log_every

    def fit(self, data: Any, val: Any = None, *, resume: bool = False) -> Result:
        """Train; the model ends on the best weights by `monitor` (the last without `val`).

        Args:
            data: `(x, y)` or `(x, y, weights)` in memory, x a tensor, a tuple or a dict of
                tensors; or an iterable of such batches, such as a DataLoader.
            val: rows to validate on, in the same forms.
            resume: go on from the newest whole checkpoint in `run_dir` (from the start if there
                is none), ending where the uninterrupted run ends, bit for bit. Model, data and
                settings must be made as they were for the first `fit`.

        Raises:
            NonFiniteError: the loss or gradient is NaN or infinite; the step was not taken.
            Interrupted: SIGINT or SIGTERM came; the state was saved first (with `run_dir`).
            StorageError: `run_dir` cannot be written, or holds a run already.
            LockedError: another process is using `run_dir`.
            CheckpointError: every checkpoint is damaged.
        """
        if isinstance(data, Iterator) and self.limits.max_epochs > 1:
            raise ConfigError(
                "Training data must be readable once an epoch, however: "
                f"{type(data).__name__} can be read once. Pass a list or a DataLoader."
            )
        if val is None and self.patience is not None:
            raise ConfigError("patience needs validation rows: pass val=(x, y), or patience=None.")
        with ExitStack() as stack:
            stack.enter_context(rng.isolated())
            stack.enter_context(rng.deterministic())
            stack.enter_context(train_mode(self.model))
            if self.run_dir is not None:
                self.run_dir.mkdir(parents=True, exist_ok=True)
                stack.enter_context(lock_folder(self.run_dir))
            request = stack.enter_context(stop_requests(active=self.run_dir is not None))
            return self._fit(data, val, resume=resume, request=request, stack=stack)

    def predict(self, x: Any, *, batch_size: int = EVAL_ROWS) -> Any:
        """Compute the outputs for all rows, in eval mode and without gradients.

        Args:
            x: a tensor or array, a tuple or dict of them, or an iterable of batches, of which
                the inputs (the first of a tuple) are taken.
            batch_size: rows at a time, for data in memory.

        Raises:
            NonFiniteError: an output is NaN or infinite; the message names the row.
        """
        return predict_batches(self.model, input_batches(x, batch_size, self._device()))

    def evaluate(self, data: Any) -> dict[str, float]:
        """Compute the loss and the scores on `data`, in eval mode and without gradients."""
        return evaluate_batches(
            self.model, self.loss, eval_batches(data, EVAL_ROWS, self._device()), self.scores
        )

    def _fit(
        self, data: Any, val: Any, *, resume: bool, request: StopRequest, stack: ExitStack
    ) -> Result:
        source = self._data(data)
        optimizer = self._optimizer()
        self.model.zero_grad(set_to_none=True)
        lrs = [group["lr"] for group in optimizer.param_groups]
        state = TrainState(Stopping(self.higher_is_better, self.patience, self.min_delta))
        settings = self._settings(source)
        snapshot = find_snapshot(self.run_dir, settings, resume=resume)
        if snapshot is not None:
            stack.enter_context(same_conditions(snapshot.conditions, self._device()))
            state = snapshot.state
            self.model.load_state_dict(snapshot.model)
            optimizer.load_state_dict(snapshot.optimizer)
            extend(state, self.limits)
            source.seek(snapshot.position)
        history: list[Event] = []
        writing = self._writing(stack, snapshot)

        def save(state: TrainState, value: float | None, *, always: bool = False) -> None:
            if writing is None:
                return
            metrics, keeper = writing
            if not (always or request.signum or keeper.due(state, value)):
                return
            extra = {
                "position": source.position() if state.step_in_epoch else None,
                "metrics_bytes": metrics.sync(),
                "conditions": conditions(self._device()),
                "settings": settings,
            }
            path = keeper.save(state, self.model, optimizer, extra, value)
            self._notify(CheckpointEvent(state.step, path), history, None)
            if state.stop is None:
                request.leave_if_asked(step=state.step, saved_in=path)

        job = Job(
            model=self.model,
            loss=self.loss,
            optimizer=optimizer,
            lrs=lrs,
            schedule=self._schedule(source),
            data=source,
            evaluate=None if val is None else lambda: self._validate(val),
            monitor=self.monitor,
            limits=self.limits,
            seed=self.seed,
            max_grad_norm=self.max_grad_norm,
            l2=self.l2,
            l2_params=decayed_parameters(self.model) if self.l2 else (),
            notify=lambda event: self._notify(event, history, writing),
            checkpoint=save,
        )
        stop = train(job, state)
        save(state, None, always=True)
        if state.best_weights is not None:
            self.model.load_state_dict(state.best_weights)
        n_parameters = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        return Result(stop, tuple(history), n_parameters)

    def _data(self, data: Any) -> Data:
        return make_data(
            data,
            batch_size=self.batch_size,
            microbatch_size=self.microbatch_size,
            seed=self.seed,
            device=self._device(),
            no_single=has_batch_norm(self.model),
        )

    def _optimizer(self) -> Optimizer:
        wanted = self.optimizer_wanted
        if isinstance(wanted, Optimizer):
            return wanted
        if isinstance(wanted, str):
            return make_optimizer(wanted, self.model, **self.rates, **self.moments)
        return wanted(self.model)

    def _schedule(self, data: Data) -> Callable[[int], float]:
        if callable(self.schedule):
            return self.schedule
        total = self.limits.max_steps
        if data.steps_per_epoch is not None:
            by_epochs = self.limits.max_epochs * data.steps_per_epoch
            total = by_epochs if total is None else min(total, by_epochs)
        if total is None and self.schedule != "constant":
            raise ConfigError(
                f"schedule={self.schedule!r} needs the number of steps, however: the data does "
                "not say its length. Pass max_steps."
            )
        return make_schedule(self.schedule, total_steps=total or 1, warmup_steps=self.warmup_steps)

    def _validate(self, val: Any) -> dict[str, float]:
        return {f"val/{name}": value for name, value in self.evaluate(val).items()}

    def _device(self) -> torch.device:
        first = next(self.model.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def _notify(
        self, event: Event, history: list[Event], writing: tuple[MetricsLog, Keeper] | None
    ) -> str | None:
        if writing is not None:
            writing[0].write(event)
        if isinstance(event, EpochEvent | EvalEvent | StopEvent):  # steps are too many to keep
            history.append(event)
        asked = None
        for observer in self.observers:
            asked = observer(event) or asked
        return asked

    def _settings(self, data: Data) -> dict[str, Any]:
        """What must be the same at resume for the run to be the same run."""
        return {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "microbatch_size": self.microbatch_size,
            "steps_per_epoch": data.steps_per_epoch,
            "optimizer": self.optimizer_wanted if isinstance(self.optimizer_wanted, str) else None,
            **self.rates,
            **self.moments,
            "l2": self.l2,
            "max_grad_norm": self.max_grad_norm,
            "schedule": self.schedule if isinstance(self.schedule, str) else None,
            "warmup_steps": self.warmup_steps,
            "monitor": self.monitor,
        }

    def _writing(
        self, stack: ExitStack, snapshot: Snapshot | None
    ) -> tuple[MetricsLog, Keeper] | None:
        if self.run_dir is None:
            return None
        size = 0 if snapshot is None else snapshot.metrics_bytes
        metrics = MetricsLog(self.run_dir / "metrics.jsonl", every=self.log_every, size=size)
        stack.callback(metrics.close)
        keeper = Keeper(
            self.run_dir / "checkpoints", self.plan, higher_is_better=self.higher_is_better
        )
        return metrics, keeper


def _check_optimizer(optimizer: Any, lr: float | None, weight_decay: float | None) -> None:
    if isinstance(optimizer, type):
        raise ConfigError(
            "optimizer must be a name, an optimizer, or a callable that makes one from the model, "
            f"however: the class {optimizer.__name__}. Pass "
            f"lambda model: {optimizer.__name__}(model.parameters(), ...)."
        )
    if not isinstance(optimizer, str) and (lr is not None or weight_decay is not None):
        raise ConfigError(
            "lr and weight_decay are for a named optimizer, however: they are given beside an "
            "optimizer of your own. Set them there."
        )


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1, however: {name}={value}.")
