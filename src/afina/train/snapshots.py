"""What a model or an optimizer held, put back: a failed attempt or a trial leaves no trace."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Buffers:
    """The buffers of a module as they are now, such as running statistics.

    Args:
        module: whose buffers, those of its submodules included.

    Example:
        >>> norm = nn.BatchNorm1d(2)
        >>> before = Buffers(norm)
        >>> _ = norm(torch.ones(3, 2))
        >>> before.restore()
        >>> norm.running_mean.tolist(), norm.num_batches_tracked.item()
        ([0.0, 0.0], 0)
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.values: list[Tensor] = [buffer.detach().clone() for buffer in module.buffers()]

    @torch.no_grad()
    def restore(self) -> None:
        """Put the values back into the same tensors."""
        for buffer, value in zip(self.module.buffers(), self.values, strict=True):
            buffer.copy_(value)


@contextmanager
def kept_buffers(module: nn.Module) -> Iterator[None]:
    """Put the module's buffers back afterwards, whatever a forward does to them inside."""
    before = Buffers(module)
    try:
        yield
    finally:
        before.restore()


@contextmanager
def kept_weights(model: nn.Module) -> Iterator[None]:
    """Put parameters and buffers back afterwards, into the same tensors, and drop gradients."""
    before = [p.detach().clone() for p in model.parameters()]
    try:
        with kept_buffers(model):
            yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), before, strict=True):
                parameter.copy_(value)
        model.zero_grad(set_to_none=True)


@contextmanager
def kept_optimizer(optimizer: Optimizer) -> Iterator[None]:
    """Put an optimizer's moments and settings back afterwards."""
    before = copy.deepcopy(optimizer.state_dict())
    try:
        yield
    finally:
        optimizer.load_state_dict(before)
