"""Batch normalization of several micro-batches by the statistics that they share.

One node of the autograd graph takes all micro-batches' inputs to all their outputs, so that an
ordinary backward pass takes the gradient through the shared statistics.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BatchNorm = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - the class all of them share
SumOverProcesses = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Statistics:
    """What a batch normalization saw of a whole window.

    Args:
        mean: of each channel.
        var: the biased variance of each channel.
        count: values a channel, over all processes.
        eps: added to the variance before the square root.
    """

    mean: Tensor
    var: Tensor
    count: int
    eps: float

    def normalize(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        """Center and scale each channel, by torch's fused kernel for known statistics."""
        weight, bias = _widened(weight), _widened(bias)
        # Arguments: running pair, training, momentum, eps, cudnn.
        return torch.batch_norm(x, weight, bias, self.mean, self.var, False, 0.0, self.eps, False)


class Shared:
    """What the joint node of one batch normalization needs for its backward pass.

    Args:
        statistics: of the window.
        total: sums a tensor over all processes; none: there is one.
        weight: scale of each channel.
        recall: gives back an input that was let go, from the slot that stands for it.
    """

    def __init__(
        self,
        statistics: Statistics,
        total: SumOverProcesses | None,
        weight: Tensor | None,
        recall: Callable[[Any], Tensor],
    ) -> None:
        self.statistics = statistics
        self.total = total
        self.weight = _widened(weight)
        self.recall = recall
        self.slots: list[Any] = []


class JointNorm(torch.autograd.Function):
    """Normalize the inputs of all micro-batches.

    Takes `shared, ticket, weight, bias, x_1 .. x_M` to `ticket, y_1 .. y_M`. The ticket is an
    empty tensor that goes from each batch normalization to the next: the backward passes are
    run in exactly the reverse order, the same one in every process.
    """

    @staticmethod
    def forward(
        ctx: Any,
        shared: Shared,
        ticket: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        """Normalize every input."""
        ctx.shared = shared
        ctx.set_materialize_grads(False)
        outputs = [shared.statistics.normalize(x, weight, bias) for x in inputs]
        return ticket.clone(), *outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _ticket: Tensor | None, *grads: Tensor | None) -> tuple[Any, ...]:
        """Take the outputs' gradients to the inputs', which are called back for it."""
        if all(grad is None for grad in grads):  # nothing of the loss comes from here
            return (None,) * (4 + len(grads))
        shared: Shared = ctx.shared
        inputs = [shared.recall(slot) for slot in shared.slots]
        shared.slots.clear()
        dys = [
            torch.zeros_like(x) if grad is None else grad
            for x, grad in zip(inputs, grads, strict=True)
        ]
        dxs, dweight, dbias = joint_backward(shared, inputs, dys)
        _, _, wants_weight, wants_bias, *wants = ctx.needs_input_grad
        return (
            None,
            None,
            dweight if wants_weight else None,
            dbias if wants_bias else None,
            *(dx if wanted else None for dx, wanted in zip(dxs, wants, strict=True)),
        )


class KnownNorm(torch.autograd.Function):
    """Normalize one micro-batch again, by statistics that are known, for its value alone.

    Takes `statistics, anchor, weight, bias, x` to `y`, which needs a gradient where the anchor does:
    then what comes after keeps the same tensors for its backward pass as it did the first time.
    """

    @staticmethod
    def forward(
        _ctx: Any,
        statistics: Statistics,
        _anchor: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        x: Tensor,
    ) -> Tensor:
        """Normalize the input."""
        return statistics.normalize(x, weight, bias)


@torch.no_grad()
def window_statistics(
    module: BatchNorm, inputs: list[Tensor], total: SumOverProcesses | None
) -> Statistics:
    """Compute mean and biased variance of each channel over all micro-batches, in two passes.

    Shape:
        each input (rows, channels, ...) -> (channels,) and (channels,)

    Args:
        module: whose statistics these are.
        inputs: what each micro-batch brings.
        total: sums a tensor over all processes; none: there is one.

    Raises:
        ValueError: one value a channel in the whole window.
    """
    others = [d for d in range(inputs[0].ndim) if d != 1]
    shape = [1, -1] + [1] * len(others[1:])  # (channels,) -> (1, channels, 1, ...)
    wide = [_widened(x) for x in inputs]
    n = sum(x.numel() // max(x.shape[1], 1) for x in inputs)
    sums = torch.stack([x.sum(others) for x in wide]).sum(0)
    if total is not None:
        # The count goes with the sums, in float64, which holds it exactly.
        both = total(torch.cat([sums.double(), sums.new_tensor([n], dtype=torch.float64)]))
        sums, n = both[:-1].to(sums.dtype), int(both[-1])  # sync: int()
    if n <= 1:
        raise ValueError(
            "A batch normalization must see two values a channel to train, however: "
            f"{tuple(inputs[0].shape)} is all of the window. Use larger batches."
        )
    mean = sums / n
    squares = torch.stack([(x - mean.view(shape)).square_().sum(others) for x in wide]).sum(0)
    return Statistics(mean, (squares if total is None else total(squares)) / n, n, module.eps)


@torch.no_grad()
def update_running(module: BatchNorm, statistics: Statistics) -> None:
    """Move the running mean and variance once, as one forward pass over the whole window does."""
    if not (module.training and module.track_running_stats):
        return
    share = 0.0 if module.momentum is None else module.momentum
    if module.num_batches_tracked is not None:
        module.num_batches_tracked.add_(1)
        if module.momentum is None:
            share = 1.0 / float(module.num_batches_tracked)  # sync: float()
    if module.running_mean is not None:
        module.running_mean.mul_(1 - share).add_(statistics.mean, alpha=share)
    if module.running_var is not None:
        n = statistics.count
        module.running_var.mul_(1 - share).add_(statistics.var, alpha=share * n / (n - 1))


def joint_backward(
    shared: Shared, inputs: list[Tensor], dys: list[Tensor]
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Compute the gradients of `JointNorm`: of each input, of the scale and of the shift.

    With sums over all values of a channel in the window, N of them:
    dx = weight / std * (dy - sum(dy) / N - x_norm * sum(dy * x_norm) / N).

    Args:
        shared: what the forward left.
        inputs: taken out of this list one by one, so that their memory is free for the result.
        dys: gradient of each output.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167, section 3.
    """
    stat = shared.statistics
    # torch's kernel for constant statistics gives sum(dy * x_norm) and sum(dy), and no gradient.
    parts = [
        torch.ops.aten.native_batch_norm_backward(
            *(dy, x, shared.weight, stat.mean, stat.var, None, None, False, stat.eps),
            [False, True, True],
        )
        for x, dy in zip(inputs, dys, strict=True)
    ]
    dweight = torch.stack([part[1] for part in parts]).sum(0)
    dbias = torch.stack([part[2] for part in parts]).sum(0)
    sums = torch.stack([dweight, dbias])
    sum_dy_x, sum_dy = (sums if shared.total is None else shared.total(sums)).unbind()
    scale = (stat.var + stat.eps).rsqrt()
    if shared.weight is not None:
        scale = scale * shared.weight
    share = scale / -stat.count
    scale = scale.view(1, -1, *[1] * (dys[0].ndim - 2))
    inputs.reverse()
    dxs = [
        stat.normalize(inputs.pop(), sum_dy_x * share, sum_dy * share).addcmul_(dy, scale)
        for dy in dys
    ]
    return dxs, dweight, dbias


@overload
def _widened(x: Tensor) -> Tensor: ...
@overload
def _widened(x: None) -> None: ...
def _widened(x: Tensor | None) -> Tensor | None:
    """Bring half precision to float32, in which sums are taken; leave any other type alone."""
    if x is None:
        return None
    return x.detach().float() if x.dtype in (torch.bfloat16, torch.float16) else x.detach()
