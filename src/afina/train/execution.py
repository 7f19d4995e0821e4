"""How a window goes through the model, by the settings: plainly, compiled, in half precision."""

from contextlib import ExitStack
from functools import partial
from typing import Literal

import torch
from torch import nn

from afina.train.batches import call_model
from afina.train.compiled import compiled_gradient
from afina.train.gradient import GradientPlan, accumulate, fused_mean
from afina.train.loss import WeightedLoss
from afina.train.precision import Precision, with_autocast

BatchNorm = Literal["microbatch", "window"]


def plan_gradient(
    model: nn.Module,
    loss: WeightedLoss,
    stack: ExitStack,
    *,
    device: torch.device,
    precision: Precision,
    compiled: bool,
    halve: bool,
    seed: int,
) -> GradientPlan:
    """Decide how a window's gradient is made.

    Args:
        model: whose gradient it is.
        loss: in the form whose parts add up.
        stack: what is done to the model for the time of training is undone when it closes.
        device: where the model is.
        precision: of forward and backward.
        compiled: use torch's compiler.
        halve: make micro-batches smaller when memory does not suffice.
        seed: of the run.

    Raises:
        ConfigError: the model or the machine cannot do what is asked.
    """
    forward = with_autocast(partial(call_model, model), precision, device)
    sum_gradient, mean_gradient = accumulate(loss, forward), fused_mean(loss, forward)
    if compiled:
        made = stack.enter_context(compiled_gradient(model, loss, forward, device))
        sum_gradient, mean_gradient = made.sum_gradient, made.mean_gradient
    return GradientPlan(
        model=model,
        loss=loss,
        forward=forward,
        sum_gradient=sum_gradient,
        mean_gradient=mean_gradient,
        halve=halve,
        seed=seed,
    )
