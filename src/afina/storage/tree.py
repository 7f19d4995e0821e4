"""Convert a nested state to tensors and JSON, and back exactly.

    None, bool, int, text      unchanged
    float                      unchanged; if not finite: {"float": its 16 hexadecimal digits}
    list                       [...]
    tuple                      {"tuple": [...]}
    dict                       {"dict": [[key, value], ...]}, so that 0 and "0" stay apart
    tensor                     {"tensor": its name among the tensors}

Nothing else can be stored. Saving a state that could be restored only by running code raises an
error that names the path to the value, so that the problem does not surface only when the state is
needed.
"""

import math
import struct
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from afina.errors import CheckpointError
from afina.storage.manifest import shown

MAX_DEPTH = 64
_MAX_INT = 10**4000  # Python's JSON reader rejects numbers of more than 4,300 digits


def flatten_state(state: Any, *, name: str = "state") -> tuple[dict[str, Tensor], Any]:
    """Split a state such as `optimizer.state_dict()` into tensors and JSON.

    Args:
        state: dicts (keys are text or whole numbers), lists and tuples of tensors, numbers, text,
            booleans and None. An `OrderedDict` is restored as a dict.
        name: name of the state, for messages and as the prefix of the tensors' names.

    Returns:
        The tensors by name, and the rest, ready for `json.dumps(..., allow_nan=False)`.

    Raises:
        CheckpointError: the state holds something else; the message names its path.

    Example:
        >>> import torch
        >>> flatten_state({"lr": 0.5, 0: torch.ones(2)})
        ({'state.0': tensor([1., 1.])}, {'dict': [['lr', 0.5], [0, {'tensor': 'state.0'}]]})
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _flatten(state, name, tensors, 0)


def restore_state(tensors: Mapping[str, Tensor], jsonable: Any) -> Any:
    """Rebuild a state from the result of `flatten_state`.

    Raises:
        CheckpointError: the two do not belong together, or do not come from `flatten_state`.
    """
    unused = dict(tensors)
    state = _restore(jsonable, unused, 0)
    if unused:
        raise _damaged(f"nothing refers to the tensor {shown(next(iter(unused)))}")
    return state


def _flatten(value: Any, path: str, tensors: dict[str, Tensor], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise CheckpointError(
            f"A state must be nested at most {MAX_DEPTH} deep",
            but=f"{path[:80]}... is deeper, or contains itself",
            fix="Nest it less deeply.",
        )
    kind = type(value)
    if value is None or kind in (bool, str) or (kind is int and -_MAX_INT < value < _MAX_INT):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
    if isinstance(value, Tensor):
        name = path if path not in tensors else f"{path}#{len(tensors)}"
        tensors[name] = value.detach()
        return {"tensor": name}
    if kind is list or kind is tuple:
        items = [_flatten(x, f"{path}.{i}", tensors, depth + 1) for i, x in enumerate(value)]
        return items if kind is list else {"tuple": items}
    if kind is dict or kind is OrderedDict:
        return {"dict": [_pair(item, path, tensors, depth) for item in value.items()]}
    raise CheckpointError(
        "A state must be made of tensors, numbers, text, None, dicts, lists and tuples",
        but=f"{path} is a {kind.__module__}.{kind.__qualname__}",
        fix="Convert it to one of these.",
    )


def _pair(item: tuple[Any, Any], path: str, tensors: dict[str, Tensor], depth: int) -> list[Any]:
    key, value = item
    if type(key) is not str and type(key) is not int:
        raise CheckpointError(
            "A state's keys must be text or whole numbers",
            but=f"{path} has the key {key!r}, a {type(key).__qualname__}",
            fix="Use another key.",
        )
    return [key, _flatten(value, f"{path}.{key}", tensors, depth + 1)]


def _restore(node: Any, unused: dict[str, Tensor], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise _damaged(f"it is nested more than {MAX_DEPTH} deep")
    if node is None or isinstance(node, bool | int | str):
        return node
    if isinstance(node, float) and math.isfinite(node):
        return node
    if isinstance(node, list):
        return [_restore(item, unused, depth + 1) for item in node]
    if not isinstance(node, dict) or len(node) != 1:
        raise _damaged("a part of it has an unknown form")
    (tag, content), *_ = node.items()
    if tag == "tensor" and isinstance(content, str) and content in unused:
        return unused.pop(content)
    if tag == "float" and isinstance(content, str):
        return _special_float(content)
    if tag == "tuple" and isinstance(content, list):
        return tuple(_restore(item, unused, depth + 1) for item in content)
    if tag == "dict" and isinstance(content, list):
        return _restore_dict(content, unused, depth)
    raise _damaged(f"a part of it has an unknown form: {shown(tag)}")


def _restore_dict(pairs: list[Any], unused: dict[str, Tensor], depth: int) -> dict[Any, Any]:
    restored: dict[Any, Any] = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) not in (str, int):
            raise _damaged("a dict in it has an entry that is not a pair of key and value")
        if pair[0] in restored:
            raise _damaged(f"a dict in it has the key {shown(pair[0])} twice")
        restored[pair[0]] = _restore(pair[1], unused, depth + 1)
    return restored


def _special_float(digits: str) -> float:
    try:
        value = float(struct.unpack(">d", bytes.fromhex(digits))[0])
    except (ValueError, struct.error):
        raise _damaged(f"a float in it is {shown(digits)}") from None
    if math.isfinite(value):
        raise _damaged(f"a float in it is {shown(digits)}")
    return value


def _damaged(what: str) -> CheckpointError:
    return CheckpointError(
        "A stored state must be unchanged", but=what, fix="Use another checkpoint."
    )
