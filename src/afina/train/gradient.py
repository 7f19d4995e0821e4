"""The gradient of a window: the sum over its micro-batches, divided once by its total weight.

A window that does not fit in memory, or overflows in fp16, is run again with smaller parts or a
smaller scale, as if the failed attempt had not happened: buffers and random numbers are restored.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from afina.errors import AfinaWarning, ConfigError, NonFiniteError
from afina.train.batches import Batch, Opaque, count_rows, cut_rows, split_batch
from afina.train.loss import WeightedLoss, weighted_sum
from afina.train.precision import SMALLEST_SCALE, Forward
from afina.train.processes import ALONE, Processes, share
from afina.train.rng import reseed_torch
from afina.train.snapshots import Buffers
from afina.train.state import TrainState

SumGradient = Callable[[Sequence[Batch], float], tuple[float, float]]
MeanGradient = Callable[[Batch], tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class GradientMethod:
    """How the gradient of a window is computed.

    Args:
        model: the model to differentiate.
        loss: the loss, in a form whose parts add up.
        forward: maps a micro-batch's inputs to outputs.
        sum_gradient: `(micro-batches, scale) -> (sum of losses, sum of weights)`; leaves the
            gradient of scale times the sum of losses in `.grad`.
        mean_gradient: `micro-batch -> (mean loss, weight)`, for a window that is one micro-batch;
            leaves the gradient of the mean in `.grad`. None: there is no such shortcut.
        halve: halve the size of micro-batches when they do not fit in memory.
        seed: the run's seed.
        stream: purpose of a step's random numbers, such as those of dropout.
        processes: the processes that share the rows of a window.
        least: fewest rows for a process that has any.
        even: every process must have the same number of micro-batches.
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
    method: GradientMethod, window: Sequence[Batch], state: TrainState
) -> tuple[float, float]:
    """Leave the gradient of a window's mean loss in `.grad`.

    Args:
        window: the rows of one step.
        state: holds the step, the size of micro-batches and the loss scale; the last two may be
            reduced.

    Returns:
        The weighted mean loss, and the sum of the weights.
    """
    before = Buffers(method.model) if method.halve or state.loss_scale is not None else None
    while True:
        reseed_torch(method.seed, method.stream, state.step)
        parts = own_parts(method, window, state.microbatch_size)
        scale = state.loss_scale or 1.0
        try:
            if len(parts) == 1 and method.mean_gradient is not None and state.loss_scale is None:
                return method.mean_gradient(parts[0])
            losses, weight = method.sum_gradient(parts, scale)
            fits = True
        except (RuntimeError, MemoryError) as error:
            if before is None or not method.halve or not is_out_of_memory(error):
                raise
            fits = False
        # Outside of `except`: the error's traceback would keep the failed attempt in memory.
        if fits and (
            not math.isfinite(losses)  # left to the loop, which reports it: no scale helps
            or _divide(method.model, weight * scale, overflows=state.loss_scale is not None)
        ):
            return losses / weight if weight else 0.0, weight
        method.model.zero_grad(set_to_none=True)
        if before is not None:
            before.restore()
        if fits:
            _lower_scale(state)
        else:
            _halve_parts(method, parts, state)


def fused_mean(loss: WeightedLoss, forward: Forward) -> MeanGradient:
    """Return the shortcut for one micro-batch: torch's fused mean is used if the loss has one."""

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


def accumulate(
    loss: WeightedLoss,
    forward: Forward,
    before_part: Callable[[bool], None] = lambda _last: None,
) -> SumGradient:
    """Return the plain method: run the micro-batches in order, and add up gradients in `.grad`.

    Args:
        loss: the loss, in a form whose parts add up.
        forward: maps a micro-batch's inputs to outputs.
        before_part: called before each micro-batch, with True if it is the window's last.
    """

    def sum_gradient(parts: Sequence[Batch], scale: float) -> tuple[float, float]:
        sum_of_losses = sum_of_weights = 0.0
        for number, batch in enumerate(parts, start=1):
            before_part(number == len(parts))
            total, weight = sum_of_batch(loss, forward, batch)
            (total * scale if scale != 1.0 else total).backward()  # type: ignore[no-untyped-call]
            sum_of_losses += total.item()  # sync: .item()
            sum_of_weights += float(weight)
        return sum_of_losses, sum_of_weights

    return sum_gradient


def sum_of_batch(
    loss: WeightedLoss, forward: Forward, batch: Batch
) -> tuple[Tensor, Tensor | float]:
    """Run a micro-batch; return the weighted sum of its losses, and the sum of its weights."""
    values, weights = loss.values(forward(batch.x), batch.y)
    return weighted_sum(values, weights, batch.weights)


def cut_window(window: Sequence[Batch], most: int | None) -> Sequence[Batch]:
    """Split each batch of a window into the fewest even parts of at most `most` rows, if set."""
    if most is None:
        return window
    if any(isinstance(batch.x, Opaque) for batch in window):
        raise ConfigError(
            "microbatch_size needs batches that can be cut into rows: mappings or tuples of tensors",
            but="a batch has other parts, or tensors with different numbers of rows",
            fix="Leave microbatch_size out; use smaller batches and batches_per_step.",
        )
    return [part for batch in window for part in split_batch(batch, most, count_rows(batch))]


def own_parts(method: GradientMethod, window: Sequence[Batch], most: int | None) -> Sequence[Batch]:
    """Return the micro-batches of a window that this process runs: all of them if it is alone."""
    if method.processes.alone:
        return cut_window(window, most)
    n_rows, n_processes = sum(map(count_rows, window)), method.processes.n_processes
    if method.all_needed and n_rows < n_processes:
        raise ConfigError(
            'batchnorm="window" needs at least one row of every step in each process',
            got=f"a step of {n_rows} rows for {n_processes} processes",
            fix="Use fewer processes or larger batches.",
        )
    own = cut_window(own_rows(window, method.processes, method.least), most)
    if not method.even:
        return own
    missing = method.processes.agree([len(own)])[0] - len(own)
    return [*own, *[_without_weight(method, window[0])] * missing]


def own_rows(window: Sequence[Batch], processes: Processes, least: int) -> list[Batch]:
    """Return this process's even share of a window's rows, without a copy; it may be empty.

    Args:
        least: fewest rows in a share that has any.
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


def _without_weight(method: GradientMethod, batch: Batch) -> Batch:
    """Return rows that add nothing to the sums, for a process that has run out of rows."""
    n_rows = min(method.least, count_rows(batch))
    weights = torch.zeros(n_rows, device=method.processes.device)
    return cut_rows(batch, 0, n_rows)._replace(weights=weights)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error is a failed allocation, on the GPU or the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text


def _divide(model: nn.Module, divisor: float, *, overflows: bool) -> bool:
    """Divide the gradient; return whether it is finite (True unless it may overflow)."""
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    if not grads or not divisor:
        return True
    torch._foreach_div_(grads, divisor)
    return not overflows or all(bool(grad.isfinite().all()) for grad in grads)


def _lower_scale(state: TrainState) -> None:
    scale = (state.loss_scale or 1.0) / 2.0
    if scale < SMALLEST_SCALE:
        raise NonFiniteError(
            f"step {state.step + 1}: the gradient must be finite",
            but="it overflows in fp16 even with the smallest loss scale",
            fix='The step was not taken. Use precision="bf16" or "float32".',
        )
    state.loss_scale, state.n_unscaled = scale, 0


def _halve_parts(method: GradientMethod, parts: Sequence[Batch], state: TrainState) -> None:
    largest = max((count_rows(batch) for batch in parts), default=1)
    largest = method.processes.agree([largest])[0]
    if largest == 1:
        raise ConfigError(
            f"step {state.step + 1}: at least one row must fit in memory",
            but="a micro-batch of one row does not",
            fix="The step was not taken. Use a smaller model, or activation_checkpointing=True.",
        )
    state.microbatch_size = -(-largest // 2)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    warnings.warn(
        f"a micro-batch of {largest} rows does not fit in memory; continuing with at most "
        f"{state.microbatch_size} rows at a time (a step still sees the whole batch)",
        AfinaWarning,
        stacklevel=2,
    )
