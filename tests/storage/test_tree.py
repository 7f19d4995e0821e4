"""A nested state comes back exactly."""

import json
import math
import struct
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import CheckpointError
from afina.storage import flatten_state, load_tensors, restore_state, save_tensors

scalars = st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats() | st.text()
tensors = st.lists(st.floats(width=32), max_size=3).map(torch.tensor)
keys = st.text(max_size=3) | st.integers()
states = st.recursive(
    scalars | tensors,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


def exact(value: object) -> object:
    """Turn a state into something that is equal only where types and bits are equal."""
    if isinstance(value, torch.Tensor):
        return ("tensor", value.dtype, value.shape, value.reshape(-1).view(torch.uint8).tolist())
    if isinstance(value, float):
        return ("float", struct.pack("d", value))
    if isinstance(value, dict):
        return ("dict", [(type(k), k, exact(v)) for k, v in value.items()])
    if isinstance(value, list | tuple):
        return (type(value), [exact(item) for item in value])
    return (type(value), value)


def there_and_back(state: object) -> object:
    """Store and restore through real bytes."""
    found, jsonable = flatten_state(state)
    data, text = save_tensors(found), json.dumps(jsonable, allow_nan=False)
    return restore_state(load_tensors(data, source="memory"), json.loads(text))


@given(states)
def test_any_state_comes_back_with_types_order_and_bits(state: object) -> None:
    """Every nested state comes back with the same types, key order and bits."""
    assert exact(state) == exact(there_and_back(state))


@pytest.mark.parametrize(
    "value", [-0.0, 5e-324, 1.7976931348623157e308, 0.1, math.inf, -math.inf, math.nan, 2**64, True]
)
def test_special_numbers_come_back(value: object) -> None:
    """Negative zero, subnormals, infinities, NaN, large whole numbers and booleans are kept."""
    assert exact(value) == exact(there_and_back(value))


def test_the_payload_of_a_nan_comes_back() -> None:
    """A NaN keeps its bits."""
    value = struct.unpack(">d", bytes.fromhex("fff8000000000abc"))[0]

    assert exact(value) == exact(there_and_back(value))


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD, torch.optim.LBFGS])
def test_the_state_of_an_optimizer_comes_back(optimizer: type[torch.optim.Optimizer]) -> None:
    """An optimizer's state dict goes through bytes and drives the same next step."""
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2).double()
    made = optimizer(net.parameters(), lr=0.1)

    def loss() -> torch.Tensor:
        made.zero_grad()
        value = (net(torch.ones(4, 3).double()) ** 2).sum()
        value.backward()
        return value

    made.step(loss)

    assert exact(made.state_dict()) == exact(there_and_back(made.state_dict()))


def test_names_of_tensors_tell_where_they_are_and_never_collide() -> None:
    """Names follow the path; a key with a dot or of another type does not overwrite another."""
    state = {"a.b": torch.tensor(1), "a": {"b": torch.tensor(2)}, 0: torch.tensor(3)}
    state["0"] = torch.tensor(4)
    found, _ = flatten_state(state, name="optimizer")

    assert len(found) == 4
    assert "optimizer.a.b" in found
    assert exact(state) == exact(there_and_back(state))


@pytest.mark.parametrize(
    ("state", "path"),
    [
        ({"state": {0: {"foo": len}}}, r"state\.state\.0\.foo is a builtins\.builtin_function"),
        ([1, {2, 3}], r"state\.1 is a builtins\.set"),
        ({"lr": np.float64(0.1)}, r"state\.lr is a numpy\.float64"),
        ({"a": defaultdict(list)}, r"state\.a is a collections\.defaultdict"),
        ({"a": torch.Size([1])}, r"state\.a is a torch\.Size"),
        ({"a": b"bytes"}, r"state\.a is a builtins\.bytes"),
        ({"a": {True: 1}}, r"state\.a has the key True, a bool"),
        ({"a": {None: 1}}, r"state\.a has the key None"),
        ({"a": {(1, 2): 1}}, r"state\.a has the key \(1, 2\)"),
    ],
)
def test_what_cannot_come_back_is_refused_when_saved(state: object, path: str) -> None:
    """Anything that would need code to come back is refused by its path and its type."""
    with pytest.raises(CheckpointError, match=path):
        flatten_state(state)


def test_an_ordered_dict_comes_back_as_a_dict() -> None:
    """A module's state dict, an OrderedDict, is stored; it comes back as a plain dict."""
    state = OrderedDict(b=1, a=2)

    assert exact({"b": 1, "a": 2}) == exact(there_and_back(state))


def test_a_state_that_holds_itself_is_refused() -> None:
    """A cycle, or a nesting deeper than the limit, is an error and not a hang."""
    state: list[object] = []
    state.append(state)

    with pytest.raises(CheckpointError, match="nested at most"):
        flatten_state(state)


def deep(depth: int) -> object:
    """Build a stored state of tuples in tuples."""
    node: object = 1
    for _ in range(depth):
        node = {"tuple": [node]}
    return node


@pytest.mark.parametrize(
    "node",
    [
        {"tensor": "a"},
        {"tensor": 1},
        {"tuple": 1},
        {"dict": {"a": 1}},
        {"dict": [["a"]]},
        {"dict": [[1.5, 1]]},
        {"dict": [[True, 1]]},
        {"dict": [["a", 1], ["a", 2]]},
        {"float": "00"},
        {"float": "3ff0000000000000"},
        {"float": "x" * 16},
        {"pickle": "gASV"},
        {},
        {"tuple": [], "dict": []},
        math.nan,
        deep(500),
        [[["x", {"list": [1]}]]],
    ],
)
def test_what_was_not_written_by_us_is_refused(node: object) -> None:
    """A stored state of another form raises CheckpointError."""
    with pytest.raises(CheckpointError, match="A stored state"):
        restore_state({}, node)


def test_each_tensor_is_used_once() -> None:
    """A tensor that nothing refers to, or two refer to, is an error."""
    tensor = torch.ones(1)

    with pytest.raises(CheckpointError, match="nothing refers to the tensor 'b'"):
        restore_state({"a": tensor, "b": tensor}, {"tensor": "a"})
    with pytest.raises(CheckpointError, match="an unknown form"):
        restore_state({"a": tensor}, [{"tensor": "a"}, {"tensor": "a"}])
