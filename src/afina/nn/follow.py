"""Find what follows each layer of a network, by tracing its forward pass symbolically."""

import inspect
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from torch import fx, nn

from afina.nn.activation import ParametricActivation
from afina.nn.drop import QuickDropout
from afina.nn.norm import NORMS
from afina.process_state import Drawing

FoundBy: TypeAlias = Literal["trace", "order"]

LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.PReLU: "leaky_relu",
    nn.RReLU: "leaky_relu",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.Hardswish: "silu",
    nn.Mish: "mish",
    nn.ELU: "elu",
    nn.CELU: "elu",
    nn.SELU: "selu",
    nn.Tanh: "tanh",
    nn.Hardtanh: "tanh",
    nn.Softsign: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.Hardsigmoid: "sigmoid",
}
_ACTIVATION_CALLS = {
    "relu": "relu",
    "relu6": "relu",
    "leaky_relu": "leaky_relu",
    "prelu": "leaky_relu",
    "gelu": "gelu",
    "silu": "silu",
    "hardswish": "silu",
    "mish": "mish",
    "elu": "elu",
    "celu": "elu",
    "selu": "selu",
    "tanh": "tanh",
    "hardtanh": "tanh",
    "sigmoid": "sigmoid",
}
_PASSING_MODULES = (*NORMS, nn.Identity, nn.Flatten, nn.Unflatten)
_PASSING_FAMILIES = ("Dropout", "AlphaDropout", "MaxPool", "AvgPool", "Adaptive")
_PASSING_CALLS = (
    *("add", "iadd", "sub", "mul", "imul", "truediv", "mean", "to", "float", "double"),
    *("cat", "concat", "stack", "chunk", "split", "getitem", "flatten", "reshape", "view"),
    *("permute", "transpose", "squeeze", "unsqueeze", "contiguous", "dropout"),
    *("batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool2d"),
)
_ADDS = ("add", "iadd")


@dataclass(frozen=True)
class FollowedLayer:
    """A layer and what follows it.

    Args:
        name: dotted name of the layer; empty if the layer is the module itself.
        layer: the layer.
        follows: name of the first activation after the layer; `output` if the network returns the
            layer's result; `none` if another layer or an unknown operation comes first.
        negative_slope: the slope of that activation, if it is a leaky_relu.
        found: how `follows` was determined. `trace`: by tracing the forward pass; `order`: by the
            order of registration.
    """

    name: str
    layer: nn.Module
    follows: str
    negative_slope: float
    found: FoundBy


def find_layers(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the linear and convolutional layers, except those inside torch's composite modules.

    Torch's attention, recurrent and transformer modules have their own initialization.
    """
    if isinstance(module, LAYERS):
        yield prefix, module
        return
    if type(module).__module__.startswith("torch.nn") and not isinstance(module, _CONTAINERS):
        return
    for name, child in module.named_children():
        yield from find_layers(child, f"{prefix}.{name}" if prefix else name)


def trace(module: nn.Module) -> fx.Graph | None:
    """Trace the forward pass without its optional arguments; return None if that fails."""
    try:
        with Drawing():  # two traces at once would not undo their changes to torch
            return _trace(module)
    except Exception:  # noqa: BLE001 - users' code runs on proxies here, and may raise anything
        return None


def _trace(module: nn.Module) -> fx.Graph:
    parameters = inspect.signature(module.forward).parameters.values()
    left_out = {one.name: None for one in parameters if one.default is None}
    return _Tracer().trace(module, concrete_args=left_out or None)


def follow_layers(module: nn.Module, graph: fx.Graph | None) -> tuple[FollowedLayer, ...]:
    """Return the activation after each layer, looking past norms, dropout, additions and reshapes.

    Args:
        graph: the graph that `trace` returned. None: use the order of registration, which does not
            show activations called as functions.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Tanh(), nn.Linear(3, 1))
        >>> [one.follows for one in follow_layers(net, trace(net))]
        ['tanh', 'output']
    """
    if isinstance(module, LAYERS):
        return (FollowedLayer("", module, "output", 0.0, "trace"),)
    if graph is None:
        return _follow_by_order(module)
    modules = dict(module.named_modules())
    seen: dict[int, FollowedLayer] = {}
    for node in graph.nodes:
        layer = _module_of(node, modules)
        if isinstance(layer, LAYERS) and id(layer) not in seen:
            follows, slope = _first_activation(node, modules)
            seen[id(layer)] = FollowedLayer(str(node.target), layer, follows, slope, "trace")
    return tuple(
        seen.get(id(layer), FollowedLayer(name, layer, "none", 0.0, "trace"))
        for name, layer in find_layers(module)
    )


def find_residual_ends(module: nn.Module, graph: fx.Graph | None) -> tuple[nn.Module, ...]:
    """Return the last module with a weight in each branch that is added to its own input."""
    if graph is None:
        return ()
    modules = dict(module.named_modules())
    ancestors: dict[fx.Node, set[fx.Node]] = {}
    ends = []
    for node in graph.nodes:
        inputs = node.all_input_nodes
        ancestors[node] = {*inputs}.union(*(ancestors[before] for before in inputs))
        if _call_name(node) not in _ADDS or len(node.all_input_nodes) != 2:
            continue
        left, right = node.all_input_nodes
        if left in ancestors[right] or right in ancestors[left]:
            ends.append(_last_weight(right if left in ancestors[right] else left, modules))
    return tuple(end for end in ends if end is not None)


def is_plain(graph: fx.Graph, module: nn.Module) -> bool:
    """Return whether the network takes one (n, d) tensor and applies linear layers row by row."""
    modules = dict(module.named_modules())
    rows = (nn.Linear, nn.BatchNorm1d, nn.LayerNorm, nn.RMSNorm, nn.Identity, nn.Dropout)
    n_inputs = sum(node.op == "placeholder" for node in graph.nodes)
    return n_inputs == 1 and all(
        node.op in ("placeholder", "output")
        or isinstance(_module_of(node, modules), (*rows, *_ACTIVATIONS))
        or _call_name(node) in (*_ADDS, *_ACTIVATION_CALLS, "dropout")
        for node in graph.nodes
    )


class _Tracer(fx.Tracer):
    """Trace into all modules except torch's own and those that have weights but no layers.

    During a trace, torch calls this tracer for modules in every thread; those in other threads run
    as usual.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if super().is_leaf_module(m, module_qualified_name) or isinstance(m, QuickDropout):
            return True
        has_state = any(True for _ in m.parameters()) or any(True for _ in m.buffers())
        return has_state and next(find_layers(m), None) is None


def _module_of(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules.get(str(node.target)) if node.op == "call_module" else None


def _call_name(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls, without a final underscore."""
    if node.op == "call_function":
        return str(getattr(node.target, "__name__", "")).rstrip("_")
    return str(node.target).rstrip("_") if node.op == "call_method" else ""


def _activation_of(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[str, float] | None:
    called = _module_of(node, modules)
    if called is not None:
        return _activation_of_module(called)
    name = _ACTIVATION_CALLS.get(_call_name(node))
    return None if name is None else (name, 0.01)


def _activation_of_module(module: nn.Module) -> tuple[str, float] | None:
    if isinstance(module, ParametricActivation):
        return _activation_of_module(module.activation)
    name = next((name for kind, name in _ACTIVATIONS.items() if isinstance(module, kind)), None)
    if name is None:
        return None
    if isinstance(module, nn.PReLU):
        return name, float(module.weight.detach().mean())
    return name, float(getattr(module, "negative_slope", 0.01))


def _passes(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    called = _module_of(node, modules)
    if called is not None:
        kind = type(called)
        return (
            isinstance(called, _PASSING_MODULES)
            or kind.__name__.startswith(_PASSING_FAMILIES)
            # A user's module with weights but no layers is treated as a norm.
            or not kind.__module__.startswith("torch.nn")
        )
    return _call_name(node) in _PASSING_CALLS


def _first_activation(start: fx.Node, modules: dict[str, nn.Module]) -> tuple[str, float]:
    """Search the users of a node, nearest first, for the first activation on any path."""
    follows = "none"
    waiting, seen = list(start.users), set(start.users)
    while waiting:
        node = waiting.pop(0)
        activation = _activation_of(node, modules)
        if activation is not None:
            return activation
        if node.op == "output":
            follows = "output"
        elif _passes(node, modules):
            waiting += [user for user in node.users if user not in seen]
            seen.update(node.users)
    return follows, 0.0


def _last_weight(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    """Walk back from the end of a branch to the layer or norm that sets its scale."""
    while True:
        called = _module_of(node, modules)
        if isinstance(called, LAYERS):
            return called
        if isinstance(called, NORMS) and getattr(called, "weight", None) is not None:
            return called
        passes = _passes(node, modules) or _activation_of(node, modules) is not None
        if not passes or not node.all_input_nodes:
            return None
        node = node.all_input_nodes[0]


def _follow_by_order(module: nn.Module) -> tuple[FollowedLayer, ...]:
    names = {id(layer): name for name, layer in find_layers(module)}
    followed: list[FollowedLayer] = []
    open_layers: list[nn.Module] = []
    for part in module.modules():
        activation = _activation_of_module(part)
        if id(part) in names:
            followed += [FollowedLayer(names[id(x)], x, "none", 0.0, "order") for x in open_layers]
            open_layers = [part]
        elif activation is not None and open_layers:
            layer = open_layers.pop()
            followed.append(FollowedLayer(names[id(layer)], layer, *activation, "order"))
    followed += [FollowedLayer(names[id(x)], x, "output", 0.0, "order") for x in open_layers]
    return tuple(followed)
