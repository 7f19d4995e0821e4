"""Activation checkpointing: keep what goes into a part of the model, compute the rest again.

A forward keeps its activations for the backward. Inside `recomputed`, only the inputs of a few
parts of the model are kept, and each part is run again when its gradient is due: about the square
root of the memory for at most one more forward. The numbers are the same, bit for bit: a part is
run again with the random numbers, the buffers and the attributes that it had the first time, and
leaves no second trace in them.
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

Run: TypeAlias = Callable[..., Any]


class Held:
    """What modules hold besides parameters: buffers such as running statistics, and attributes.

    Args:
        modules: these, and the modules in them.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        parts = [part for module in modules for part in module.modules()]
        self.attributes = [(part, dict(vars(part)), dict(part._buffers)) for part in parts]  # noqa: SLF001
        buffers = [buffer for module in modules for buffer in module.buffers()]
        self.values = [(buffer, buffer.detach().clone()) for buffer in buffers]

    @torch.no_grad()
    def put_back(self) -> None:
        """Restore every module's attributes and the values of the buffers."""
        for part, attributes, buffers in self.attributes:
            vars(part).clear()
            vars(part).update(attributes)
            part._buffers.clear()  # noqa: SLF001 - one that was replaced is replaced back
            part._buffers.update(buffers)  # noqa: SLF001
        for buffer, value in self.values:
            buffer.copy_(value)


@contextmanager
def recomputed(model: nn.Module) -> Iterator[None]:
    """Let the parts of a model compute their activations again, for the time inside.

    The model is cut at its outermost `nn.Sequential` or `nn.ModuleList` of several parts with
    parameters, such as the blocks of an MLP, the stages of a ResNet or the layers of an encoder.
    A part that holds most of the parameters, and can be cut itself, is cut in its stead. Small
    layers in an `nn.Sequential` are taken together. Without gradients nothing is changed.

    What a forward does to lists and objects outside of the model it does twice.

    Args:
        model: its modules get another `forward` inside, and their own one back.

    Raises:
        ConfigError: there is nowhere to cut.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
        >>> with recomputed(model):
        ...     model(torch.ones(1, 2)).sum().backward()
    """
    parts = dict(cut(model))  # a module used twice is changed once
    if not parts:
        raise ConfigError(
            "activation_checkpointing=True needs a model to cut into parts, however: "
            f"{type(model).__name__} has no nn.Sequential of several layers and no nn.ModuleList "
            "of several blocks. Put its blocks in one, or leave activation_checkpointing out."
        )
    before = [(module, vars(module).get("forward")) for module in parts]
    try:
        for module, run in parts.items():
            module.forward = run
        yield
    finally:
        for module, own in before:
            del module.forward  # that of the class shows again
            if own is not None:
                module.forward = own


def cut(module: nn.Module) -> list[tuple[nn.Module, Run]]:
    """Return the modules to change, and the forward of each that computes its activations again."""
    if type(module).forward is nn.Sequential.forward and "forward" not in vars(module):
        found = _cut_sequence(list(module))  # type: ignore[call-overload] # it is a Sequential
        if found is not None:
            groups, inner = found
            return [(module, _chained(groups)), *inner]
    if isinstance(module, nn.ModuleList):
        blocks = [child for child in module if n_leaves(child) > 1 and n_numbers(child)]
        if len(blocks) > 1:
            return [part for block in blocks for part in _cut_block(block, module)]
    return [part for child in module.children() for part in cut(child)]


def n_leaves(module: nn.Module) -> int:
    """Count the layers in a module: what its activations grow with."""
    return sum(not list(part.children()) for part in module.modules())


def n_numbers(module: nn.Module) -> int:
    """Count the numbers in a module's parameters."""
    return sum(p.numel() for p in module.parameters())


def in_place(module: nn.Module) -> bool:
    """Tell if a layer writes into its input."""
    return bool(getattr(module, "inplace", False))


def _cut_block(block: nn.Module, whole: nn.Module) -> list[tuple[nn.Module, Run]]:
    inner = cut(block) if 2 * n_numbers(block) > n_numbers(whole) else []
    return inner or [(block, _again(block.forward, [block]))]


def _cut_sequence(
    children: list[nn.Module],
) -> tuple[list[Run], list[tuple[nn.Module, Run]]] | None:
    """Cut a chain of modules into runs, and the modules that are cut inside; none: too short.

    With n parts of r layers each in runs of k, n / k inputs and k * r activations are held at a
    time: least where k is the root of n / r.
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
    # A layer that writes into its input would spoil what is kept, were it the first of a run.
    plain = [bool(inner[group[0]]) or in_place(group[0]) for group in groups]
    runs = [
        _chained(group) if as_is else _again(_chained(group), group)
        for group, as_is in zip(groups, plain, strict=True)
    ]
    return runs, [part for parts in inner.values() for part in parts]


def _chained(runs: Sequence[Run]) -> Run:
    def forward(x: Any) -> Any:
        for run in runs:
            x = run(x)
        return x

    return forward


def _again(run: Run, modules: Sequence[nn.Module]) -> Run:
    def forward(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return run(*args, **kwargs)
        return checkpoint(
            run, *args, use_reentrant=False, context_fn=partial(_contexts, modules), **kwargs
        )

    return forward


def _contexts(
    modules: Sequence[nn.Module],
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return what surrounds the first run and the second one."""
    return nullcontext(), _as_before(modules, Held(modules))


@contextmanager
def _as_before(modules: Sequence[nn.Module], before: Held) -> Iterator[None]:
    after = Held(modules)
    before.put_back()
    try:
        yield
    finally:
        after.put_back()
