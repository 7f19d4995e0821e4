"""Take a snapshot of a model or optimizer and restore it: a failed attempt leaves no trace."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Buffers:
    """A copy of the values of a module's buffers, such as running statistics.

    Args:
        module: the module; the buffers of its submodules are included.

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
        self.values: dict[str, Tensor] = {
            name: buffer.detach().clone() for name, buffer in module.named_buffers()
        }

    @torch.no_grad()
    def restore(self) -> None:
        """Copy the values back into the buffers; buffers registered since then are unchanged."""
        for name, buffer in self.module.named_buffers():
            if name in self.values:
                buffer.copy_(self.values[name])


class ModuleState:
    """A copy of the state of modules other than parameters: buffers and attributes.

    Args:
        modules: the modules; their submodules are included.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        parts = [part for module in modules for part in module.modules()]
        self.attributes = [(part, dict(vars(part)), dict(part._buffers)) for part in parts]  # noqa: SLF001
        self.buffers = [Buffers(module) for module in modules]

    def restore(self) -> None:
        """Restore every module's attributes, and the values of its buffers."""
        for part, attributes, buffers in self.attributes:
            vars(part).clear()
            vars(part).update(attributes)
            part._buffers.clear()  # noqa: SLF001 - removes a tensor that replaced a buffer
            part._buffers.update(buffers)  # noqa: SLF001
        for values in self.buffers:
            values.restore()


@contextmanager
def kept_buffers(module: nn.Module) -> Iterator[None]:
    """Restore the module's buffers after the `with` block."""
    before = Buffers(module)
    try:
        yield
    finally:
        before.restore()


@contextmanager
def kept_weights(model: nn.Module) -> Iterator[None]:
    """Restore parameters and buffers afterwards, in the same tensors, and drop gradients."""
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
    """Restore an optimizer's moments and settings afterwards."""
    before = copy.deepcopy(optimizer.state_dict())
    try:
        yield
    finally:
        load_optimizer(optimizer, before)


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load what `state_dict` of an optimizer returned, every tensor in its own number type.

    torch converts floating-point state to the type of its parameter. In a float64 or bfloat16 model,
    that changes NAdam's float32 products, for example, and the run would not continue bit for bit.
    """
    optimizer.load_state_dict({**state})
    params = [p for group in optimizer.param_groups for p in group["params"]]
    numbers = [number for group in state.get("param_groups", ()) for number in group["params"]]
    for number, param in zip(numbers, params, strict=False):  # its state may have its own form
        loaded = optimizer.state.get(param, {})
        for name, value in state.get("state", {}).get(number, {}).items():
            one = loaded.get(name)
            if isinstance(one, Tensor) and isinstance(value, Tensor) and one.dtype != value.dtype:
                loaded[name] = value.to(one.device, copy=True)
