"""How a window goes through the model, by the settings: plainly, compiled, in half precision."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Literal

import torch
from torch import nn

from afina.train.batches import call_model
from afina.train.compiled import compiled_gradient
from afina.train.gradient import GradientMethod, MeanGradient, SumGradient, accumulate, fused_mean
from afina.train.loss import WeightedLoss
from afina.train.parallel.reduction import over_processes, sum_tensor
from afina.train.precision import Precision, with_autocast
from afina.train.processes import ALONE, Processes
from afina.train.recompute import recomputed
from afina.train.train_mode import has_batch_norm
from afina.train.window.norm import WindowNorm

BatchNorm = Literal["microbatch", "window"]
Sharding = Literal["fsdp2"]


@contextmanager
def spread(
    model: nn.Module, processes: Processes, sharding: Sharding | None
) -> Iterator[nn.Module]:
    """Return the model to train: the same values in every process; a sharded copy where asked for.

    Raises:
        ConfigError: it cannot be sharded.
    """
    processes.broadcast_([*model.parameters(), *model.buffers()])
    if sharding is None:
        yield model
        return
    from afina.train.parallel.sharding import sharded_copy  # noqa: PLC0415 - takes a second

    with sharded_copy(model, processes) as sharded:
        yield sharded


def plan_gradient(
    model: nn.Module,
    loss: WeightedLoss,
    stack: ExitStack,
    *,
    device: torch.device,
    precision: Precision,
    compiled: bool,
    recompute: bool,
    batchnorm: BatchNorm,
    halve: bool,
    seed: int,
    processes: Processes = ALONE,
    sharded: bool = False,
) -> GradientMethod:
    """Decide how a window's gradient is made.

    Args:
        model: whose gradient it is.
        loss: in the form whose parts add up.
        stack: what is done to the model for the time of training is undone when it closes.
        device: where the model is.
        precision: of forward and backward.
        compiled: use torch's compiler.
        recompute: keep fewer activations, and compute them again for the gradient.
        batchnorm: whose rows batch normalization sees.
        halve: make micro-batches smaller when memory does not suffice.
        seed: of the run.
        processes: who shares the rows of a window.
        sharded: whether the model is spread over them.

    Raises:
        ConfigError: the model or the machine cannot do what is asked.
    """
    if recompute:
        stack.enter_context(recomputed(model))
    forward = with_autocast(partial(call_model, model), precision, device)
    sum_gradient: SumGradient = accumulate(loss, forward)
    mean_gradient: MeanGradient | None = fused_mean(loss, forward)
    if compiled:
        made = stack.enter_context(compiled_gradient(model, loss, forward, device))
        sum_gradient, mean_gradient = made.sum_gradient, made.mean_gradient
    window = batchnorm == "window" and has_batch_norm(model)
    if window:
        together = None if processes.alone else partial(sum_tensor, processes)
        norm = WindowNorm(model, loss, forward, sum_over_processes=together)
        sum_gradient = norm.sum_gradient
    if not processes.alone:
        if sharded:
            from afina.train.parallel.sharding import accumulate_sharded  # noqa: PLC0415 - takes a second

            sum_gradient = accumulate_sharded(model, loss, forward)
        sum_gradient = over_processes(processes, model, sum_gradient, sharded=sharded, halve=halve)
        mean_gradient = None  # the mean is the window's, not a process's
    return GradientMethod(
        model=model,
        loss=loss,
        forward=forward,
        sum_gradient=sum_gradient,
        mean_gradient=mean_gradient,
        halve=halve,
        seed=seed,
        stream="step" if processes.first else f"step/{processes.rank}",
        processes=processes,
        least=2 if has_batch_norm(model) and not window else 1,
        even=sharded,
        all_needed=window,
    )
