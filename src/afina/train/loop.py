"""The loop. Everything that changes a number stands here, in the order it happens."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from afina.errors import AfinaWarning, ConfigError, NonFiniteError
from afina.optim import AveragingName, add_l2_grad_, fused_step
from afina.train.batches import Batch, Data
from afina.train.events import EpochEvent, EvalEvent, Event, StepEvent, StopEvent, StopReason
from afina.train.gradient import GradientPlan, cut_window, mean_gradient, sum_of_batch
from afina.train.grokking import SignReader
from afina.train.precision import next_scale
from afina.train.snapshots import kept_buffers
from afina.train.state import TrainState, copied_state


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When training ends at the latest, and when it looks at the validation rows.

    Args:
        max_epochs: passes over the training rows.
        max_steps: optimizer steps; none: only `max_epochs` counts.
        eval_every: epochs between evaluations.
    """

    max_epochs: int
    max_steps: int | None = None
    eval_every: int = 1

    def total_steps(self, steps_per_epoch: int | None) -> int | None:
        """Return the most steps there can be; none: nobody knows."""
        if steps_per_epoch is None:
            return self.max_steps
        by_epochs = self.max_epochs * steps_per_epoch
        return by_epochs if self.max_steps is None else min(self.max_steps, by_epochs)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained, on what, and how.

    Args:
        gradient: how a window's gradient is made.
        lrs: learning rate of each parameter group before the schedule.
        schedule: factor of the learning rate for the step about to be taken.
        monitor: the metric that decides what is best.
        average_from: epochs finished before the average of the weights begins.
        evaluate: gives `val/loss` and scores by name; none without validation rows.
        read_signs: `(train loss, validation loss) -> signs` of late generalization; none: nobody
            asks whether patience is to be extended.
        notify: tells observers; gives the reason if one asks to stop.
        checkpoint: called between steps, with the monitored metric where one was just
            computed; saves what is due. Raises `Interrupted` after saving if a signal came.
    """

    model: nn.Module
    gradient: GradientPlan
    optimizer: Optimizer
    lrs: Sequence[float]
    schedule: Callable[[int], float]
    data: Data
    monitor: str
    limits: Limits
    average_from: int
    max_grad_norm: float | None
    l2: float
    l2_params: Sequence[nn.Parameter]
    evaluate: Callable[[], Mapping[str, float]] | None = None
    read_signs: SignReader | None = None
    notify: Callable[[Event], str | None] = lambda _event: None
    checkpoint: Callable[[TrainState, float | None], None] = lambda _state, _value: None


def train(job: Job, state: TrainState) -> StopEvent:  # noqa: C901, PLR0912 - one straight function
    """Take steps until a limit, patience or an observer ends it; leave the last weights in place.

    Args:
        job: what is trained, on what, and how.
        state: where to start; it is moved along.

    Returns:
        Why training ended, also in `state.stop`.

    Raises:
        NonFiniteError: a loss or gradient is NaN or infinite; the step is not taken.
    """
    params = [p for group in job.optimizer.param_groups for p in group["params"]]
    take_step = fused_step(job.optimizer)
    while state.stop is None:
        asked = None
        n_before = state.step
        for window in job.data.windows(state.epoch, state.step_in_epoch):
            lr = set_lr(job, state.step)
            loss, weight = mean_gradient(job.gradient, window, state)
            if not math.isfinite(loss):
                raise NonFiniteError(_bad_loss(job, state, window))
            grads = [p.grad for p in params if p.grad is not None]
            if job.l2:
                add_l2_grad_(job.l2_params, job.l2)
            norm = float(grad_norm(grads))  # sync: .item()
            if not math.isfinite(norm):
                raise NonFiniteError(_bad_gradient(job, state))
            if job.max_grad_norm is not None and norm > job.max_grad_norm:
                torch._foreach_mul_(grads, job.max_grad_norm / (norm + 1e-6))
            if weight:  # a window whose every target is ignored moves nothing
                take_step()
            for p in params:
                p.grad = None
            if state.loss_scale is not None:
                state.loss_scale, state.n_unscaled = next_scale(state.loss_scale, state.n_unscaled)
            _average(job, state, "ema")

            state.step += 1
            state.step_in_epoch += 1
            state.epoch_loss += loss * weight
            state.epoch_weight += weight
            asked = job.notify(StepEvent(state.step, state.epoch, loss, lr, norm)) or asked
            if asked or state.step == job.limits.max_steps:
                break
            if state.step_in_epoch != job.data.steps_per_epoch:
                job.checkpoint(state, None)
        if state.step == n_before and state.step_in_epoch == 0:
            raise ConfigError("The training data gave no batch. Pass at least one row.")
        state.stop = _end_epoch(job, state, asked)
    return state.stop


def set_lr(job: Job, step: int) -> float:
    """Set every group's learning rate for the step about to be taken; give the first one's."""
    factor = job.schedule(step)
    for group, lr in zip(job.optimizer.param_groups, job.lrs, strict=True):
        group["lr"] = lr * factor
    first: float = job.optimizer.param_groups[0]["lr"]
    return first


def grad_norm(grads: list[Tensor]) -> Tensor:
    """Compute the 2-norm of a whole gradient.

    Shape:
        any number of tensors of any shapes -> scalar
    """
    if not grads:
        return torch.zeros(())
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))  # noqa: SLF001 - one kernel
    return norm


def _end_epoch(job: Job, state: TrainState, asked: str | None) -> StopEvent | None:
    """Close the epoch, look at the validation rows, and say whether training is over."""
    at_limit = state.step == job.limits.max_steps
    whole = state.step_in_epoch == job.data.steps_per_epoch or not (asked or at_limit)
    mean = state.epoch_loss / state.epoch_weight if state.epoch_weight else math.nan
    if whole:
        _average(job, state, "swa")
        state.epoch += 1
        asked = job.notify(EpochEvent(state.step, state.epoch, mean)) or asked
        state.step_in_epoch, state.epoch_loss, state.epoch_weight = 0, 0.0, 0.0
    over = bool(asked) or at_limit or state.epoch >= job.limits.max_epochs
    value = None
    if job.evaluate is not None and (over or state.epoch % job.limits.eval_every == 0):
        value, asked_too = _evaluate(job, state, job.evaluate, mean)
        asked = asked or asked_too
    stop = _stop(job, state, asked)
    if stop is None:
        job.checkpoint(state, value)
    else:
        job.notify(stop)
    return stop


def _average(job: Job, state: TrainState, name: AveragingName) -> None:
    """Take the weights into the average, if it is of this kind and has begun."""
    if state.average is None or state.average.name != name or state.epoch < job.average_from:
        return
    state.average.update(job.model)


def _evaluate(
    job: Job, state: TrainState, evaluate: Callable[[], Mapping[str, float]], train_loss: float
) -> tuple[float, str | None]:
    with state.averaged(job.model):
        metrics = dict(evaluate())
        if job.monitor not in metrics:
            raise ConfigError(
                f"monitor must be one of {sorted(metrics)}, however: monitor={job.monitor!r}."
            )
        value = metrics[job.monitor]
        if math.isnan(value):
            warnings.warn(
                f"{job.monitor} is not a number after epoch {state.epoch}, and never the best; "
                "look for validation rows without a target or with NaN",
                AfinaWarning,
                stacklevel=2,
            )
        signs = None if job.read_signs is None else job.read_signs(train_loss, metrics["val/loss"])
        stopping = state.stopping
        best = stopping.update(value, step=state.step, epoch=state.epoch, signs=signs)
        if best:
            state.best_weights = copied_state(job.model)
    return value, job.notify(EvalEvent(state.step, state.epoch, metrics, best, stopping.extending))


def _stop(job: Job, state: TrainState, asked: str | None) -> StopEvent | None:
    limits, stopping = job.limits, state.stopping
    reason: StopReason
    if asked:
        reason, why = "observer", asked
    elif job.evaluate is not None and stopping.exhausted:
        reason, why = "patience", stopping.why(job.monitor)
    elif limits.max_steps is not None and state.step >= limits.max_steps:
        reason, why = "max_steps", f"max_steps={limits.max_steps} was reached"
    elif state.epoch >= limits.max_epochs:
        reason, why = "max_epochs", f"max_epochs={limits.max_epochs} was reached"
    else:
        return None
    monitor = None if job.evaluate is None else job.monitor
    return StopEvent(
        state.step,
        state.epoch,
        reason,
        why,
        monitor,
        stopping.best,
        stopping.best_step,
        stopping.best_epoch,
    )


def _bad_loss(job: Job, state: TrainState, window: Sequence[Batch]) -> str:
    where = job.data.describe(state.epoch, state.step_in_epoch)
    part = ""
    parts = cut_window(window, state.microbatch_size)
    with torch.no_grad(), kept_buffers(job.model):
        for number, batch in enumerate(parts):
            total, _ = sum_of_batch(job.gradient.loss, job.gradient.forward, batch)
            if not total.isfinite():
                part = f" (first in micro-batch {number + 1} of {len(parts)})"
                break
    return (
        f"The loss must be finite, however: it is not at step {state.step + 1}, on {where}{part}. "
        "The step was not taken. Lower the learning rate, or look at these rows."
    )


def _bad_gradient(job: Job, state: TrainState) -> str:
    name = next(
        name
        for name, p in job.model.named_parameters()
        # By its norm, as in the loop: of a sharded gradient, the norm alone is everybody's.
        if p.grad is not None and not math.isfinite(float(grad_norm([p.grad])))
    )
    where = job.data.describe(state.epoch, state.step_in_epoch)
    return (
        f"The gradient must be finite, however: that of {name!r} is not at step "
        f"{state.step + 1}, on {where}. The step was not taken. Lower the learning rate, "
        "or look for a division by zero or a square root of zero in the model or loss."
    )
