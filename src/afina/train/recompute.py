"""Activation checkpointing: keep the inputs of a model's parts, and recompute the rest.

A forward pass keeps its activations for the backward pass. Inside `recomputed`, only the inputs of
a few parts of the model are kept, and each part is run again when its gradient is needed. This
takes about the square root of the memory, at the cost of at most one more forward pass. The numbers
are the same, bit for bit: a part is run again with the random numbers, the buffers and the
attributes that it had the first time, and changes none of them a second time.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from math import sqrt
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from afina.errors import ConfigError
from afina.train.snapshots import ModuleState

PartForward: TypeAlias = Callable[..., Any]


@contextmanager
def recomputed(model: nn.Module) -> Iterator[None]:
    """Within the `with` block, let the parts of a model recompute activations in backward passes.

    The model is cut at its outermost `nn.Sequential` or `nn.ModuleList` of several parts with
    parameters, such as the blocks of an MLP, the stages of a ResNet or the layers of an encoder.
    A part that holds most of the parameters is itself cut if possible. Small layers in an
    `nn.Sequential` are grouped. Without gradients, nothing changes.

    Side effects of a forward pass on objects outside the model happen twice.

    Args:
        model: the model; its modules have a different `forward` inside the `with` block only.

    Raises:
        ConfigError: there is no place to cut the model.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
        >>> with recomputed(model):
        ...     model(torch.ones(1, 2)).sum().backward()
    """
    parts = dict(cut(model))  # a module used twice is changed only once
    if not parts:
        raise ConfigError(
            "activation_checkpointing=True needs a model that can be cut into parts",
            but=f"{type(model).__name__} has no nn.Sequential of several layers and no "
            "nn.ModuleList of several blocks",
            fix="Put its blocks in an nn.ModuleList, or leave activation_checkpointing out.",
        )
    before = [(module, vars(module).get("forward")) for module in parts]
    try:
        for module, forward in parts.items():
            module.forward = forward
        yield
    finally:
        for module, own in before:
            del module.forward  # uncovers the forward of the class
            if own is not None:
                module.forward = own


def cut(module: nn.Module) -> list[tuple[nn.Module, PartForward]]:
    """Return the modules to change, each with a forward that recomputes its activations."""
    if type(module).forward is nn.Sequential.forward and "forward" not in vars(module):
        cuts = _cut_sequence(list(module))  # type: ignore[call-overload] # it is a Sequential
        if cuts is not None:
            forwards, inner = cuts
            return [(module, _chained(forwards)), *inner]
    if isinstance(module, nn.ModuleList):
        blocks = [child for child in module if n_leaves(child) > 1 and n_numbers(child)]
        if len(blocks) > 1:
            return [part for block in blocks for part in _cut_block(block, module)]
    return [part for child in module.children() for part in cut(child)]


def n_leaves(module: nn.Module) -> int:
    """Count the layers in a module, a measure of its activations."""
    return sum(not list(part.children()) for part in module.modules())


def n_numbers(module: nn.Module) -> int:
    """Count the numbers in a module's parameters."""
    return sum(p.numel() for p in module.parameters())


def in_place(module: nn.Module) -> bool:
    """Return whether a layer writes into its input."""
    return bool(getattr(module, "inplace", False))


def _cut_block(block: nn.Module, whole: nn.Module) -> list[tuple[nn.Module, PartForward]]:
    inner = cut(block) if 2 * n_numbers(block) > n_numbers(whole) else []
    return inner or [(block, _again(block.forward, [block]))]


def _cut_sequence(
    children: list[nn.Module],
) -> tuple[list[PartForward], list[tuple[nn.Module, PartForward]]] | None:
    """Return the forwards of groups in a chain of modules, and the cuts inside its modules.

    With n modules of r layers each in groups of k, n / k inputs and k * r activations are held at a
    time. This number is smallest if k is the square root of n / r. Return None if the chain is too
    short to cut.
    """
    if not children:
        return None
    whole = sum(map(n_numbers, children))
    inner = {
        child: cut(child) if 2 * n_numbers(child) > whole else []
        for child in dict.fromkeys(children)
    }
    n_layers = sum(map(n_leaves, children))
    n_together = max(1, round(sqrt(len(children) / (n_layers / max(1, len(children))))))
    groups: list[list[nn.Module]] = []
    for child in children:
        full = bool(groups) and len(groups[-1]) >= n_together and not in_place(child)
        if not groups or full or inner[child] or inner[groups[-1][-1]]:
            groups.append([])
        groups[-1].append(child)
    if sum(any(map(n_numbers, group)) for group in groups) < 2:
        return None
    # A layer that writes into its input would overwrite the kept input if it were first in a group.
    forwards = [
        _chained(group) if inner[group[0]] or in_place(group[0]) else _again(_chained(group), group)
        for group in groups
    ]
    return forwards, [part for parts in inner.values() for part in parts]


def _chained(calls: Sequence[PartForward]) -> PartForward:
    def forward(x: Any) -> Any:
        for call in calls:
            x = call(x)
        return x

    return forward


def _again(first: PartForward, modules: Sequence[nn.Module]) -> PartForward:
    def forward(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return first(*args, **kwargs)
        return checkpoint(
            first, *args, use_reentrant=False, context_fn=partial(_contexts, modules), **kwargs
        )

    return forward


def _contexts(
    modules: Sequence[nn.Module],
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return the context managers of the first run and of the second."""
    return nullcontext(), _as_before(modules, ModuleState(modules))


@contextmanager
def _as_before(modules: Sequence[nn.Module], before: ModuleState) -> Iterator[None]:
    after = ModuleState(modules)
    before.restore()
    try:
        yield
    finally:
        after.restore()
