"""Batch normalization of several micro-batches with shared statistics.

One node of the autograd graph maps the inputs of all micro-batches to all outputs, so that an
ordinary backward pass includes the gradient through the shared statistics.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from afina.train.train_mode import AnyBatchNorm

SumOverProcesses = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Statistics:
    """The statistics of a batch normalization's inputs over a whole window.

    Args:
        mean: mean of each channel.
        var: biased variance of each channel.
        count: number of values per channel, over all processes.
        eps: added to the variance before the square root.
    """

    mean: Tensor
    var: Tensor
    count: int
    eps: float

    def normalize(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        """Center and scale each channel with torch's fused kernel for known statistics."""
        weight, bias = _widened(weight), _widened(bias)
        # Arguments: running pair, training, momentum, eps, cudnn.
        return torch.batch_norm(x, weight, bias, self.mean, self.var, False, 0.0, self.eps, False)


class JointNormInputs:
    """Everything that the backward pass of one batch normalization's joint node needs.

    Args:
        statistics: the window's.
        total: sums a tensor over all processes. None: there is only one.
        weight: scale of each channel.
        recall: returns the input of a slot, recomputed if it was released.
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

    Maps `shared, ticket, weight, bias, x_1 .. x_M` to `ticket, y_1 .. y_M`. The ticket is an empty
    tensor that each batch normalization hands to the next, so that their backward passes run in
    exactly the reverse order, which is the same in every process.
    """

    @staticmethod
    def forward(
        ctx: Any,
        shared: JointNormInputs,
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
        """Compute the gradients of the inputs, which are recalled, from those of the outputs."""
        if all(grad is None for grad in grads):  # the loss does not depend on the outputs
            return (None,) * (4 + len(grads))
        shared: JointNormInputs = ctx.shared
        inputs = [shared.recall(slot) for slot in shared.slots]
        shared.slots.clear()
        dys = [
            torch.zeros_like(x) if grad is None else grad
            for x, grad in zip(inputs, grads, strict=True)
        ]
        dxs, dweight, dbias = joint_backward(shared, inputs, dys)
        _, _, weight_needs_grad, bias_needs_grad, *need_grad = ctx.needs_input_grad
        return (
            None,
            None,
            dweight if weight_needs_grad else None,
            dbias if bias_needs_grad else None,
            *(dx if needed else None for dx, needed in zip(dxs, need_grad, strict=True)),
        )


class KnownNorm(torch.autograd.Function):
    """Normalize one micro-batch again, with known statistics, only to obtain the values.

    Maps `statistics, anchor, weight, bias, x` to `y`, which needs a gradient if the anchor does: the
    layers after it then save the same tensors for their backward pass as the first time.
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
    module: AnyBatchNorm, inputs: list[Tensor], total: SumOverProcesses | None
) -> Statistics:
    """Compute mean and biased variance of each channel over all micro-batches, in two passes.

    Shape:
        each input (rows, channels, ...) -> (channels,) and (channels,)

    Args:
        module: the batch normalization.
        inputs: the input of the batch normalization in each micro-batch.
        total: sums a tensor over all processes. None: there is only one.

    Raises:
        ValueError: the whole window has only one value per channel.
    """
    others = [d for d in range(inputs[0].ndim) if d != 1]
    shape = [1, -1] + [1] * len(others[1:])  # (channels,) -> (1, channels, 1, ...)
    wide = [_widened(x) for x in inputs]
    n = sum(x.numel() // max(x.shape[1], 1) for x in inputs)
    sums = torch.stack([x.sum(others) for x in wide]).sum(0)
    if total is not None:
        # The count is sent along with the sums, in float64, which holds it exactly.
        totals = total(torch.cat([sums.double(), sums.new_tensor([n], dtype=torch.float64)]))
        sums, n = totals[:-1].to(sums.dtype), int(totals[-1])  # sync: int()
    if n <= 1:
        raise ValueError(
            "a batch normalization must have at least two values per channel to train; got "
            f"a window of shape {tuple(inputs[0].shape)}. Use larger batches."
        )
    mean = sums / n
    squares = torch.stack([(x - mean.view(shape)).square_().sum(others) for x in wide]).sum(0)
    return Statistics(mean, (squares if total is None else total(squares)) / n, n, module.eps)


@torch.no_grad()
def update_running(module: AnyBatchNorm, statistics: Statistics) -> None:
    """Update running mean and variance once, as one forward pass over the whole window would."""
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
    shared: JointNormInputs, inputs: list[Tensor], dys: list[Tensor]
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Compute the gradients of `JointNorm`: of each input, of the scale and of the shift.

    With sums over all values of a channel in the window, N of them:
    dx = weight / std * (dy - sum(dy) / N - x_norm * sum(dy * x_norm) / N).

    Args:
        shared: data from the forward pass.
        inputs: the inputs; they are removed from this list one by one, so that the result can reuse
            their memory.
        dys: gradient of each output.

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167, section 3.
    """
    stat = shared.statistics
    # torch's kernel for constant statistics returns sum(dy * x_norm) and sum(dy), and no gradient.
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
    """Convert half precision to float32, in which sums are taken; leave other types unchanged."""
    if x is None:
        return None
    return x.detach().float() if x.dtype in (torch.bfloat16, torch.float16) else x.detach()
