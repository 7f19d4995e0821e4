"""Buffers put back: what a forward changed besides its output, undone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


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
