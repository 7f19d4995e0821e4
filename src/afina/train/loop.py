"""The training loop: everything that changes a number, in the order of the arithmetic."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from afina.errors import AfinaWarning, ConfigError, NonFiniteError
from afina.optim import AveragingName, add_l2_grad_, fused_step
from afina.process_state import Drawing
from afina.train.batches import Batch, Data
from afina.train.events import EpochEvent, EvalEvent, Event, StepEvent, StopEvent, StopReason
from afina.train.gradient import GradientMethod, cut_window, mean_gradient, sum_of_batch
from afina.train.grokking import SignReader
from afina.train.precision import next_scale
from afina.train.rates import Rates
from afina.train.settings import LoopSettings, TrainerSettings
from afina.train.snapshots import kept_buffers
from afina.train.state import TrainState, copied_state


@dataclass(frozen=True, kw_only=True)
class TrainSetup:
    """What is trained, on which data, and how: all that stays the same during a run.

    Args:
        gradient: how a window's gradient is computed.
        lrs: learning rate of each parameter group before the schedule.
        schedule: maps a step to the factor of its learning rate; or a torch scheduler.
        settings: how long training lasts, what is best, and what else changes a number.
        evaluate: computes `val/loss` and the scores by name. None: there are no validation rows.
        read_signs: `(train loss, validation loss) -> signs` of late generalization. None: patience
            is not extended.
        notify: sends an event to the observers; returns a reason if one of them asks to stop.
        checkpoint: called between steps, with the monitored metric if it was just computed; saves
            what is due. Raises `Interrupted` after saving if a signal has arrived.
    """

    model: nn.Module
    gradient: GradientMethod
    optimizer: Optimizer
    lrs: Sequence[float]
    schedule: Callable[[int], float] | LRScheduler
    data: Data
    settings: TrainerSettings
    l2_params: Sequence[nn.Parameter] = ()
    evaluate: Callable[[], Mapping[str, float]] | None = None
    read_signs: SignReader | None = None
    notify: Callable[[Event], str | None] = lambda _event: None
    checkpoint: Callable[[TrainState, float | None], None] = lambda _state, _value: None


def train(setup: TrainSetup, state: TrainState) -> StopEvent:  # noqa: C901, PLR0912 - one straight function
    """Train until a limit, patience or an observer ends the run; leave the last weights in place.

    Args:
        setup: what is trained, on which data, and how.
        state: where to start; it is updated at every step.

    Returns:
        Why training ended; it is also in `state.stop`.

    Raises:
        NonFiniteError: a loss or gradient is NaN or infinite; the step is not taken.
    """
    params = [p for group in setup.optimizer.param_groups for p in group["params"]]
    with_grads = list(dict.fromkeys([*params, *setup.model.parameters()]))
    rates = Rates(setup.optimizer, setup.lrs, setup.schedule)
    take_step = fused_step(setup.optimizer)
    settings = setup.settings
    step_conditions = Drawing(with_gradients=True)
    while state.stop is None:
        reason = None
        n_before = state.step
        for window in setup.data.windows(state.epoch, state.step_in_epoch):
            with step_conditions:
                lr = rates.begin_step(state.step)
                loss, weight = mean_gradient(setup.gradient, window, state)
                if not math.isfinite(loss):
                    raise _non_finite_loss(setup, state, window)
                grads = [p.grad for p in params if p.grad is not None]
                if settings.l2:
                    add_l2_grad_(setup.l2_params, settings.l2)
                norm = float(grad_norm(grads))  # sync: .item()
                if not math.isfinite(norm):
                    raise _non_finite_gradient(setup, state)
                if settings.max_grad_norm is not None and norm > settings.max_grad_norm:
                    torch._foreach_mul_(grads, settings.max_grad_norm / (norm + 1e-6))
                if weight:  # if every target of the window is ignored, there is no step to take
                    take_step()
                rates.end_step()
                for p in with_grads:
                    p.grad = None
                if state.loss_scale is not None:
                    state.loss_scale, state.n_unscaled = next_scale(
                        state.loss_scale, state.n_unscaled
                    )
                _average(setup, state, "ema")

            state.step += 1
            state.step_in_epoch += 1
            state.epoch_loss += loss * weight
            state.epoch_weight += weight
            reason = setup.notify(StepEvent(state.step, state.epoch, loss, lr, norm)) or reason
            if reason or state.step == settings.max_steps:
                break
            if state.step_in_epoch != setup.data.steps_per_epoch:
                setup.checkpoint(state, None)
        if state.step == n_before and state.step_in_epoch == 0:
            raise ConfigError("training data must have rows", got="none", fix="Pass at least one.")
        state.stop = _end_epoch(setup, state, rates, reason)
    return state.stop


def most_steps(settings: LoopSettings, steps_per_epoch: int | None) -> int | None:
    """Return the largest possible number of steps; None if it is unknown."""
    if steps_per_epoch is None:
        return settings.max_steps
    by_epochs = settings.max_epochs * steps_per_epoch
    return by_epochs if settings.max_steps is None else min(settings.max_steps, by_epochs)


def grad_norm(grads: list[Tensor]) -> Tensor:
    """Compute the 2-norm of a whole gradient.

    Shape:
        any number of tensors of any shapes -> scalar
    """
    if not grads:
        return torch.zeros(())
    try:
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))  # noqa: SLF001 - one kernel
    except NotImplementedError as error:
        if not any(grad.is_sparse for grad in grads):
            raise
        raise ConfigError(
            "Every gradient must be dense",
            but="a parameter has a sparse gradient",
            fix="Use sparse=False in embeddings.",
        ) from error
    return norm


def _end_epoch(
    setup: TrainSetup, state: TrainState, rates: Rates, reason: str | None
) -> StopEvent | None:
    """End the epoch: evaluate, save a checkpoint, and return the stop event if training is over."""
    at_limit = state.step == setup.settings.max_steps
    whole = state.step_in_epoch == setup.data.steps_per_epoch or not (reason or at_limit)
    mean = state.epoch_loss / state.epoch_weight if state.epoch_weight else math.nan
    if whole:
        _average(setup, state, "swa")
        state.epoch += 1
        reason = setup.notify(EpochEvent(state.step, state.epoch, mean)) or reason
        state.step_in_epoch, state.epoch_loss, state.epoch_weight = 0, 0.0, 0.0
    over = bool(reason) or at_limit or state.epoch >= setup.settings.max_epochs
    value = None
    if setup.evaluate is not None and (over or state.epoch % setup.settings.eval_every == 0):
        value, eval_reason = _evaluate(setup, state, setup.evaluate, mean)
        rates.after_evaluation(value)
        reason = reason or eval_reason
    stop = _stop(setup, state, reason)
    if stop is None:
        setup.checkpoint(state, value)
    else:
        setup.notify(stop)
    return stop


def _average(setup: TrainSetup, state: TrainState, name: AveragingName) -> None:
    """Update the average of the weights if it is of the kind `name` and has begun."""
    if (
        state.average is None
        or state.average.name != name
        or state.epoch < setup.settings.averaging_start
    ):
        return
    state.average.update(setup.model)


def _evaluate(
    setup: TrainSetup,
    state: TrainState,
    evaluate: Callable[[], Mapping[str, float]],
    train_loss: float,
) -> tuple[float, str | None]:
    """Return the monitored metric, and the reason if an observer asks to stop."""
    with Drawing(), state.averaged(setup.model):
        metrics = dict(evaluate())
        if setup.settings.monitor not in metrics:
            raise ConfigError(
                f"monitor must be one of {', '.join(sorted(metrics))}",
                got=repr(setup.settings.monitor),
                fix="Use one of these, or add it to scores.",
            )
        value = metrics[setup.settings.monitor]
        if math.isnan(value):
            warnings.warn(
                f"{setup.settings.monitor} is NaN after epoch {state.epoch}, and NaN is never the best; "
                "look for validation rows with a missing target or a NaN",
                AfinaWarning,
                stacklevel=2,
            )
        signs = (
            None if setup.read_signs is None else setup.read_signs(train_loss, metrics["val/loss"])
        )
        stopping = state.stopping
        best = stopping.update(value, step=state.step, epoch=state.epoch, signs=signs)
        if best:
            state.best_weights = copied_state(setup.model)
    return value, setup.notify(
        EvalEvent(state.step, state.epoch, metrics, best, stopping.extending)
    )


def _stop(setup: TrainSetup, state: TrainState, stop_reason: str | None) -> StopEvent | None:
    settings, stopping = setup.settings, state.stopping
    reason: StopReason
    if stop_reason:
        reason, why = "observer", stop_reason
    elif setup.evaluate is not None and stopping.exhausted:
        reason, why = "patience", stopping.why(settings.monitor)
    elif settings.max_steps is not None and state.step >= settings.max_steps:
        reason, why = "max_steps", f"max_steps={settings.max_steps} was reached"
    elif state.epoch >= settings.max_epochs:
        reason, why = "max_epochs", f"max_epochs={settings.max_epochs} was reached"
    else:
        return None
    return stop_event(setup, state, reason, why)


def stop_event(setup: TrainSetup, state: TrainState, reason: StopReason, why: str) -> StopEvent:
    """Return the event of a run that ends at its present step.

    Args:
        reason: one word.
        why: a sentence.
    """
    stopping = state.stopping
    return StopEvent(
        state.step,
        state.epoch,
        reason,
        why,
        None if setup.evaluate is None else setup.settings.monitor,
        stopping.best,
        stopping.best_step,
        stopping.best_epoch,
    )


def _non_finite_loss(
    setup: TrainSetup, state: TrainState, window: Sequence[Batch]
) -> NonFiniteError:
    rows = setup.data.describe(state.epoch, state.step_in_epoch)
    parts = cut_window(window, state.microbatch_size)
    first = ""
    with torch.no_grad(), kept_buffers(setup.model):
        for number, batch in enumerate(parts, start=1):
            total, _ = sum_of_batch(setup.gradient.loss, setup.gradient.forward, batch)
            if not total.isfinite():
                first = f", first in micro-batch {number} of {len(parts)}"
                break
    return NonFiniteError(
        f"step {state.step + 1}: the loss must be finite",
        but=f"it is not on {rows}{first}",
        fix="The step was not taken. Lower the learning rate, or look at these rows.",
    )


def _non_finite_gradient(setup: TrainSetup, state: TrainState) -> NonFiniteError:
    name = next(
        name
        for name, p in setup.model.named_parameters()
        # By its norm, as in the loop: only the norm of a sharded gradient is the same everywhere.
        if p.grad is not None and not math.isfinite(float(grad_norm([p.grad])))
    )
    rows = setup.data.describe(state.epoch, state.step_in_epoch)
    return NonFiniteError(
        f"step {state.step + 1}: the gradient must be finite",
        but=f"the gradient of {name!r} is not on {rows}",
        fix="The step was not taken. Lower the learning rate, or look for a division by zero or a "
        "square root of zero in the model or loss.",
    )
