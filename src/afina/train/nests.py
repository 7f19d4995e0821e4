"""Nested structures of tensors, as models take and return them.

A nested structure, *nest* for short, is a tensor, or a tuple, list, named tuple, mapping or
dataclass of nests. Mapping a function over it keeps its types, because a loss or a score may read
`output.logits`.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Apply a function to every tensor of a nested structure; leave everything else unchanged.

    Example:
        >>> map_tensors(lambda t: t + 1, {"a": torch.zeros(2), "b": (None, torch.ones(1))})
        {'a': tensor([1., 1.]), 'b': (None, tensor([2.]))}
    """
    if isinstance(value, Tensor):
        return function(value)
    keyed = _parts(value)
    if keyed is None:
        return value
    return rebuild(value, [map_tensors(function, part) for part in keyed.values()])


def list_tensors(value: Any) -> list[Tensor]:
    """List every tensor of a nested structure, in the order of `map_tensors`."""
    if isinstance(value, Tensor):
        return [value]
    parts = _parts(value)
    return [] if parts is None else [t for part in parts.values() for t in list_tensors(part)]


def named_tensors(value: Any, name: str = "") -> Iterable[tuple[str, Tensor]]:
    """Yield every tensor of a nested structure with its path, such as `logits` or `0.hidden`."""
    if isinstance(value, Tensor):
        yield name, value
    for key, part in (_parts(value) or {}).items():
        yield from named_tensors(part, f"{name}.{key}" if name else str(key))


def join_nests(nests: Sequence[Any]) -> Any:
    """Concatenate the outputs of several batches along the rows, and keep their type.

    Tensors that cannot be concatenated become lists: a list of rows if batches differ in another
    dimension, or a list of one entry per batch if a tensor has no rows. Values that are not tensors
    also become a list of one entry per batch, but None stays None.

    Args:
        nests: one per batch, at least one; all have the same structure.

    Example:
        >>> join_nests([{"a": torch.zeros(1, 2), "b": None}, {"a": torch.ones(1, 2), "b": None}])
        {'a': tensor([[0., 0.],
                [1., 1.]]), 'b': None}
        >>> [len(row) for row in join_nests([torch.zeros(2, 3), torch.zeros(1, 4)])]
        [3, 3, 4]
    """
    first = nests[0]
    if all(isinstance(nest, Tensor) for nest in nests):
        return _join_tensors(nests)
    keyed = [_parts(nest) for nest in nests]
    whole = [parts for parts in keyed if parts is not None]
    if len(whole) == len(nests) and all(parts.keys() == whole[0].keys() for parts in whole):
        return rebuild(first, [join_nests([parts[key] for parts in whole]) for key in whole[0]])
    return None if all(nest is None for nest in nests) else list(nests)


def rebuild(like: Any, parts: Sequence[Any]) -> Any:
    """Return a structure of the same type with new parts, in the order of the old ones."""
    keys = list(_parts(like) or ())
    if type(like) is dict:
        return dict(zip(keys, parts, strict=True))
    if isinstance(like, tuple):
        if hasattr(like, "_fields"):
            return type(like)._make(parts)  # type: ignore[attr-defined]
        return tuple(parts) if type(like) is tuple else type(like)(parts)
    if isinstance(like, list):
        return list(parts)
    new = copy.copy(like)
    for key, part in zip(keys, parts, strict=True):
        if isinstance(like, Mapping):
            new[key] = part
        if dataclasses.is_dataclass(like):
            try:
                setattr(new, key, part)
            except dataclasses.FrozenInstanceError:
                object.__setattr__(new, key, part)
    return new


def _join_tensors(tensors: Sequence[Tensor]) -> Any:
    if any(t.ndim == 0 for t in tensors):
        return list(tensors)
    if len({t.shape[1:] for t in tensors}) > 1:
        return [row for t in tensors for row in t.unbind()]
    return torch.cat(list(tensors))


def _parts(value: Any) -> dict[Any, Any] | None:
    """Return the parts of a structure by key, field or index; None if it has none."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | list):
        return dict(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None
