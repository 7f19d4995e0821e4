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
from afina.train.batches import Batch, count_rows, cut_rows, split_batch
from afina.train.loss import WeightedLoss, weighted_sum
from afina.train.precision import SMALLEST_SCALE, Forward
from afina.train.processes import ALONE, Processes, share
from afina.train.rng import reseed_torch
from afina.train.snapshots import Buffers
from afina.train.state import TrainState

SumGradient = Callable[[Sequence[Batch], float], tuple[float, float]]
MeanGradient = Callable[[Batch], tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class GradientPlan:
    """How the gradient of a window is made.

    Args:
        model: whose gradient it is.
        loss: in the form whose parts add up.
        forward: from a micro-batch's inputs to outputs.
        sum_gradient: `(micro-batches, scale) -> (sum of losses, sum of weights)`; leaves the
            gradient of scale times the sum of losses in `.grad`.
        mean_gradient: `micro-batch -> (mean loss, weight)`, for a window that is one micro-batch;
            leaves the gradient of the mean in `.grad`. None: there is no such short way.
        halve: make micro-batches smaller when memory does not suffice.
        seed: of the run.
        stream: purpose of the random numbers of a step, such as dropout's.
        processes: who shares the rows of a window.
        least: rows that a process must have unless it has none.
        even: every process must have equally many micro-batches.
        all_needed: every process must have rows of every window.
    """

    model: nn.Module
    loss: WeightedLoss
    forward: Forward
    sum_gradient: SumGradient
    mean_gradient: MeanGradient | None = None
    halve: bool = False
    seed: int = 0
    stream: str = "step"
    processes: Processes = ALONE
    least: int = 1
    even: bool = False
    all_needed: bool = False


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
        parts = own_parts(plan, window, state.microbatch_size)
        scale = state.loss_scale or 1.0
        try:
            if len(parts) == 1 and plan.mean_gradient is not None and state.loss_scale is None:
                return plan.mean_gradient(parts[0])
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
            _halve_parts(plan, parts, state)


def fused_mean(loss: WeightedLoss, forward: Forward) -> MeanGradient:
    """Make the short way for one micro-batch, with torch's fused mean where there is one."""

    def mean_gradient(batch: Batch) -> tuple[float, float]:
        output = forward(batch.x)
        if loss.mean is not None and batch.weights is None:
            mean, weight = loss.mean(output, batch.y)
        else:
            total, total_weight = weighted_sum(*loss.values(output, batch.y), batch.weights)
            mean, weight = total / total_weight, float(total_weight)  # sync: .item()
        if not weight:
            return 0.0, 0.0
        mean.backward()  # type: ignore[no-untyped-call]
        return mean.item(), weight  # sync: .item()

    return mean_gradient


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


def own_parts(plan: GradientPlan, window: Sequence[Batch], most: int | None) -> Sequence[Batch]:
    """Return the micro-batches of a window that this process runs; all of them if it is alone."""
    if plan.processes.alone:
        return cut_window(window, most)
    n_rows, n_processes = sum(map(count_rows, window)), plan.processes.n_processes
    if plan.all_needed and n_rows < n_processes:
        raise ConfigError(
            'batchnorm="window" needs a row of every step in each process, however: a step has '
            f"{n_rows} rows for {n_processes} processes. Use fewer processes or larger batches."
        )
    own = cut_window(own_rows(window, plan.processes, plan.least), most)
    if not plan.even:
        return own
    missing = plan.processes.agree([len(own)])[0] - len(own)
    return [*own, *[_without_weight(plan, window[0])] * missing]


def own_rows(window: Sequence[Batch], processes: Processes, least: int) -> list[Batch]:
    """Return this process's even share of a window's rows, without a copy; possibly none.

    Args:
        least: rows that a share must have unless it has none.
    """
    sizes = [count_rows(batch) for batch in window]
    rows = share(sum(sizes), processes.rank, processes.n_processes, least=least)
    own, before = [], 0
    for batch, size in zip(window, sizes, strict=True):
        first, end = max(rows.start - before, 0), min(rows.stop - before, size)
        if first < end:
            own.append(cut_rows(batch, first, end - first))
        before += size
    return own


def _without_weight(plan: GradientPlan, batch: Batch) -> Batch:
    """Return rows that add nothing to the sums, for a process that has run out of rows."""
    n_rows = min(plan.least, count_rows(batch))
    nothing = torch.zeros(n_rows, device=plan.processes.device)
    return cut_rows(batch, 0, n_rows)._replace(weights=nothing)


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


def _halve_parts(plan: GradientPlan, parts: Sequence[Batch], state: TrainState) -> None:
    largest = max((count_rows(batch) for batch in parts), default=1)
    largest = plan.processes.agree([largest])[0]
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
