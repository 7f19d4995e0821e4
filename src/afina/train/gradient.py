"""The gradient of a window: the sum over its micro-batches, divided once by its whole weight.

A window that does not fit in memory, or overflows in fp16, is run again with smaller parts or a
smaller scale, as if the failed attempt had never been: buffers and random numbers are put back.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from afina.errors import AfinaWarning, ConfigError, NonFiniteError
from afina.train.batches import Batch, count_rows, split_batch
from afina.train.kept import Buffers
from afina.train.loss import WeightedLoss, weighted_sum
from afina.train.precision import SMALLEST_SCALE, Forward
from afina.train.rng import reseed_torch
from afina.train.state import TrainState

SumGradient = Callable[[Sequence[Batch], float], tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class GradientPlan:
    """How the gradient of a window is made.

    Args:
        model: whose gradient it is.
        loss: in the form whose parts add up.
        forward: from a micro-batch's inputs to outputs.
        sum_gradient: `(micro-batches, scale) -> (sum of losses, sum of weights)`; leaves the
            gradient of scale times the sum of losses in `.grad`.
        one_part_is_plain: a window of one micro-batch may use torch's fused mean.
        halve: make micro-batches smaller when memory does not suffice.
        seed: of the run.
        stream: purpose of the random numbers of a step, such as dropout's.
    """

    model: nn.Module
    loss: WeightedLoss
    forward: Forward
    sum_gradient: SumGradient
    one_part_is_plain: bool = True
    halve: bool = False
    seed: int = 0
    stream: str = "step"


def mean_gradient(
    plan: GradientPlan, window: Sequence[Batch], state: TrainState
) -> tuple[float, float]:
    """Leave the gradient of a window's mean loss in `.grad`.

    Args:
        window: the rows of one step.
        state: holds the step, the size of micro-batches and the loss scale; both of these may
            be made smaller.

    Returns:
        The weighted mean loss, and the weight it was taken over.
    """
    undo = Buffers(plan.model) if plan.halve or state.loss_scale is not None else None
    while True:
        reseed_torch(plan.seed, plan.stream, state.step)
        parts = cut_window(window, state.microbatch_size)
        scale = state.loss_scale or 1.0
        try:
            if len(parts) == 1 and plan.one_part_is_plain and state.loss_scale is None:
                return fused_gradient(plan, parts[0])
            losses, weight = plan.sum_gradient(parts, scale)
            fits = True
        except (RuntimeError, MemoryError) as error:
            if undo is None or not plan.halve or not is_out_of_memory(error):
                raise
            fits = False
        # Outside of `except`: the error's traceback would keep the failed attempt in memory.
        if fits and (
            not math.isfinite(losses)  # the loop names it; no scale of the gradient mends a loss
            or _divide(plan.model, weight * scale, overflows=state.loss_scale is not None)
        ):
            return losses / weight if weight else 0.0, weight
        plan.model.zero_grad(set_to_none=True)
        if undo is not None:
            undo.restore()
        if fits:
            _lower_scale(state)
        else:
            _halve_parts(parts, state)


def fused_gradient(plan: GradientPlan, batch: Batch) -> tuple[float, float]:
    """Leave the gradient of one batch's mean loss in `.grad`; torch's fused mean where it can."""
    output = plan.forward(batch.x)
    if plan.loss.mean is not None and batch.weights is None:
        mean, weight = plan.loss.mean(output, batch.y)
    else:
        total, total_weight = weighted_sum(*plan.loss.values(output, batch.y), batch.weights)
        mean, weight = total / total_weight, float(total_weight)  # sync: .item()
    if not weight:
        return 0.0, 0.0
    mean.backward()  # type: ignore[no-untyped-call]
    return mean.item(), weight  # sync: .item()


def accumulate(loss: WeightedLoss, forward: Forward) -> SumGradient:
    """Make the plain way: micro-batch by micro-batch, their gradients adding up in `.grad`."""

    def sum_gradient(parts: Sequence[Batch], scale: float) -> tuple[float, float]:
        sum_of_losses = sum_of_weights = 0.0
        for batch in parts:
            total, weight = sum_of_batch(loss, forward, batch)
            (total * scale if scale != 1.0 else total).backward()  # type: ignore[no-untyped-call]
            sum_of_losses += total.item()  # sync: .item()
            sum_of_weights += float(weight)
        return sum_of_losses, sum_of_weights

    return sum_gradient


def sum_of_batch(
    loss: WeightedLoss, forward: Forward, batch: Batch
) -> tuple[Tensor, Tensor | float]:
    """Run a micro-batch forward; give the weighted sum of its losses, and of its weights."""
    values, weights = loss.values(forward(batch.x), batch.y)
    return weighted_sum(values, weights, batch.weights)


def cut_window(window: Sequence[Batch], most: int | None) -> Sequence[Batch]:
    """Cut a window's batches into the fewest even parts of at most so many rows; none: as is."""
    if most is None:
        return window
    return [part for batch in window for part in split_batch(batch, most, count_rows(batch))]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell an allocation that failed, on the GPU or the CPU, from any other error."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text


def _divide(model: nn.Module, divisor: float, *, overflows: bool) -> bool:
    """Divide the gradient; say whether it is finite, where it may overflow."""
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    if not grads or not divisor:
        return True
    torch._foreach_div_(grads, divisor)
    return not overflows or all(bool(grad.isfinite().all()) for grad in grads)


def _lower_scale(state: TrainState) -> None:
    scale = (state.loss_scale or 1.0) / 2.0
    if scale < SMALLEST_SCALE:
        raise NonFiniteError(
            f"The gradient must be finite, however: it is not at step {state.step + 1} in fp16, "
            'at any scale of the loss. The step was not taken. Use precision="bf16" or "float32".'
        )
    state.loss_scale, state.n_unscaled = scale, 0


def _halve_parts(parts: Sequence[Batch], state: TrainState) -> None:
    largest = max(count_rows(batch) for batch in parts)
    if largest == 1:
        raise ConfigError(
            f"One row must fit in memory, however: it did not at step {state.step + 1}. "
            "The step was not taken. Use a smaller model, or activation_checkpointing=True."
        )
    state.microbatch_size = -(-largest // 2)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    warnings.warn(
        f"a micro-batch of {largest} rows does not fit in memory; going on with at most "
        f"{state.microbatch_size} (the step stays that of the whole batch)",
        AfinaWarning,
        stacklevel=2,
    )
