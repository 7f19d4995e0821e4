"""Choose how the gradient of a window is computed: plain, compiled, in half precision, sharded."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import nn

from afina.train.batches import call_model
from afina.train.compiled import compiled_gradient
from afina.train.gradient import GradientMethod, MeanGradient, SumGradient, accumulate, fused_mean
from afina.train.loss import WeightedLoss
from afina.train.own_loss_check import OwnLossCheck, checked
from afina.train.parallel.reduction import over_processes, sum_tensor
from afina.train.precision import with_autocast
from afina.train.processes import ALONE, Processes
from afina.train.recompute import recomputed
from afina.train.settings import Sharding, TrainerSettings
from afina.train.train_mode import has_batch_norm
from afina.train.trained_module import model_of
from afina.train.window.norm import WindowNorm


@contextmanager
def spread(
    model: nn.Module, processes: Processes, sharding: Sharding | None
) -> Iterator[nn.Module]:
    """Return the model to train: the same in every process, and a sharded copy if requested.

    Raises:
        ConfigError: the model cannot be sharded.
    """
    processes.broadcast_([*model.parameters(), *model.buffers()])
    if sharding is None:
        yield model
        return
    from afina.train.parallel.sharding import sharded_copy  # noqa: PLC0415 - takes a second

    with sharded_copy(model, processes) as sharded:
        yield sharded


@contextmanager
def planned_gradient(
    model: nn.Module,
    loss: WeightedLoss,
    settings: TrainerSettings,
    device: torch.device,
    processes: Processes = ALONE,
) -> Iterator[GradientMethod]:
    """Choose how a window's gradient is computed; the `with` block may change the model for it.

    Args:
        model: the module to differentiate.
        loss: loss in the form of sums and weights.
        settings: precision, compilation, micro-batches, and what batch normalization sees.
        device: where the model is.
        processes: the processes that share the rows of a window.

    Raises:
        ConfigError: the model or the machine does not support the settings.
    """
    with ExitStack() as stack:
        if settings.activation_checkpointing:
            stack.enter_context(recomputed(model_of(model)))
        forward = with_autocast(
            partial(loss.call or call_model, model_of(model)), settings.precision, device
        )
        sum_gradient: SumGradient = accumulate(loss, forward)
        mean_gradient: MeanGradient | None = fused_mean(loss, forward)
        if settings.compile:
            compiled = stack.enter_context(compiled_gradient(model, loss, forward, device))
            sum_gradient, mean_gradient = compiled.sum_gradient, compiled.mean_gradient
        window = settings.batchnorm == "window" and has_batch_norm(model)
        if window:
            together = None if processes.alone else partial(sum_tensor, processes)
            norm = WindowNorm(model, loss, forward, sum_over_processes=together)
            sum_gradient = norm.sum_gradient
        halve = settings.microbatch_size == "auto"
        sharded = settings.sharding is not None and not processes.alone
        if not processes.alone:
            if sharded:
                from afina.train.parallel.sharding import accumulate_sharded  # noqa: PLC0415 - takes a second

                sum_gradient = accumulate_sharded(model, loss, forward)
            sum_gradient = over_processes(
                processes, model, sum_gradient, sharded=sharded, halve=halve
            )
            mean_gradient = None  # the mean is taken over the window, not over a process
        if loss.own is not None:
            check = OwnLossCheck(model, loss, forward, alone=processes.alone)
            sum_gradient = checked(check, sum_gradient, of_mean=False)
            if mean_gradient is not None:
                mean_gradient = checked(check, mean_gradient, of_mean=True)
        yield GradientMethod(
            model=model,
            loss=loss,
            forward=forward,
            sum_gradient=sum_gradient,
            mean_gradient=mean_gradient,
            halve=halve,
            seed=settings.seed,
            stream="step" if processes.first else f"step/{processes.rank}",
            processes=processes,
            least=2 if has_batch_norm(model) and not window else 1,
            even=sharded,
            all_needed=window,
        )
