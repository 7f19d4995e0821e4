"""Signs that a network may still generalize late (grok): measurements, never a forecast.

A network that has memorized its training rows can find the rule behind them much later, while
weight decay shrinks its weights. As long as the weights shrink, the network still changes; once
they stop, it no longer does. The norm of the weights shows this if it determines the scale of the
outputs. Before a normalization it does not, so the scale of the outputs is measured instead.

Source: Power et al. 2022, arXiv:2201.02177 (the phenomenon); Nanda et al. 2023, arXiv:2301.05217
(weights shrink just before); Liu et al. 2022, arXiv:2210.01117 (the norm and the delay).
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.optim import Optimizer

from afina.nn import NORMS
from afina.nn.follow import LAYERS, trace
from afina.train.nests import map_tensors

# Names of torch's functions that do the work of a layer or a normalization.
_LAYER_CALLS = ("linear", "matmul", "mm", "bmm", "addmm", "einsum", "conv1d", "conv2d", "conv3d")
_NORM_CALLS = ("batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm", "normalize")


@dataclass(frozen=True)
class GrokkingSigns:
    """The signs of late generalization at one evaluation.

    Args:
        train_loss: weighted mean loss over the epoch before the evaluation, at least 0.
        val_loss: loss on the validation rows.
        decays: whether weight decay or the l2 penalty shrinks any weight.
        scale: scale of the weights or outputs that decay shrinks, at least 0.
        scale_of: what `scale` measures, in words.
    """

    train_loss: float
    val_loss: float
    decays: bool
    scale: float
    scale_of: str = "the norm of the decayed weights"


SignReader = Callable[[float, float], GrokkingSigns]


def make_sign_reader(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    l2_params: Sequence[nn.Parameter] = (),
    outputs: Callable[[], Any],
) -> SignReader:
    """Return the function `(train_loss, val_loss) -> GrokkingSigns` for a model in training.

    The structure of the model is examined once, here, on a copy; weights and outputs are read
    whenever the function is called.

    Args:
        l2_params: parameters with an l2 penalty in the loss.
        outputs: computes the model's outputs for a fixed set of validation rows, in eval mode and
            without gradients; called only if the model ends in a normalization.

    Example:
        >>> net = nn.Linear(2, 1, bias=False)
        >>> optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.1)
        >>> read = make_sign_reader(net, optimizer, outputs=lambda: None)
        >>> _ = nn.init.constant_(net.weight, 1.0)
        >>> round(read(0.01, 2.0).scale, 4)
        1.4142
    """
    normed = ends_in_norm(model)

    def read(train_loss: float, val_loss: float) -> GrokkingSigns:
        weights = decayed_weights(optimizer, l2_params)
        if normed:
            scale, scale_of = output_scale(outputs()), "the scale of the outputs"
        else:
            scale, scale_of = weight_norm(weights), "the norm of the decayed weights"
        return GrokkingSigns(train_loss, val_loss, bool(weights), scale, scale_of)

    return read


def decayed_weights(
    optimizer: Optimizer, l2_params: Sequence[nn.Parameter] = ()
) -> list[nn.Parameter]:
    """List the parameters that decoupled decay or the l2 penalty shrinks, each once."""
    by_optimizer = (p for g in optimizer.param_groups if _decay_of(g) for p in g["params"])
    return list({id(p): p for p in (*by_optimizer, *l2_params)}.values())


def _decay_of(group: Mapping[str, Any]) -> float:
    # Under this name, afina's sgd has a rate; torch's AdamW has a flag, next to its weight_decay.
    decoupled = group.get("decoupled_weight_decay", 0.0)
    plain = float(group.get("weight_decay", 0.0))
    return plain if isinstance(decoupled, bool) else max(plain, float(decoupled))


def weight_norm(weights: Sequence[Tensor]) -> float:
    """Compute the 2-norm over all weights together."""
    norms = (torch.linalg.vector_norm(w.detach()) for w in weights)
    # Each process holds a shard of a sharded weight: float() alone would be the shard's norm.
    return math.hypot(*(float(n.full_tensor() if hasattr(n, "full_tensor") else n) for n in norms))


def output_scale(outputs: Any) -> float:
    """Compute the root mean square distance of a row's outputs from their mean.

    Shifting all logits of a row changes no probability, so it does not count. With one output per
    row, the mean is over all rows.

    Shape:
        (n, *), or a nested structure of these -> scalar

    Example:
        >>> output_scale(torch.tensor([[1.0, 3.0], [10.0, 12.0]]))
        1.0
        >>> output_scale(torch.tensor([[1.0], [5.0]]))
        2.0
    """
    squares, n_values = 0.0, 0

    def add(output: Tensor) -> Tensor:
        nonlocal squares, n_values
        if output.is_floating_point() and output.numel():
            rows = output.detach().double().reshape(len(output), -1)
            off = rows - (rows.mean(1, keepdim=True) if rows.shape[1] > 1 else rows.mean())
            squares += float(off.square().sum())
            n_values += off.numel()
        return output

    map_tensors(add, outputs)
    return math.sqrt(squares / n_values) if n_values else 0.0


def ends_in_norm(model: nn.Module) -> bool:
    """Return whether the outputs come from a normalization, or from one layer after it.

    If so, the scale of the weights before the normalization affects only how far a step turns them.
    Between the normalization and the last layer there may be activations, dropout, reshapes and
    sums of normalized parts. The forward pass is traced; if that is impossible, the order in which
    layers and normalizations were registered decides. A normalization is one of torch's modules or
    functions, or any module with `norm` in the name of its class.

    Example:
        >>> ends_in_norm(nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4), nn.Linear(4, 3)))
        True
        >>> ends_in_norm(nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 4), nn.Linear(4, 3)))
        False
    """
    graph = _trace_copy(model)
    if graph is not None:
        modules = dict(model.named_modules())
        output = next(node for node in graph.nodes if node.op == "output")
        parts = output.all_input_nodes
        return bool(parts) and all(_is_normed(node, modules, n_layers=1) for node in parts)
    layers = [m for m in model.modules() if isinstance(m, LAYERS) or _is_norm(m)]
    return any(map(_is_norm, layers[-2:]))


def _trace_copy(model: nn.Module) -> fx.Graph | None:
    """Trace a copy: a forward pass that stores its results would store the tracer's proxies."""
    try:
        model = copy.deepcopy(model)
    except Exception:  # noqa: BLE001 - the user's code may raise anything in its __deepcopy__
        return None
    return trace(model)


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, NORMS) or "norm" in type(module).__name__.lower()


def _is_normed(node: fx.Node, modules: dict[str, nn.Module], *, n_layers: int) -> bool:
    """Return whether each path back from a node reaches a normalization within `n_layers` layers."""
    inputs = [source for source in node.all_input_nodes if source.op != "get_attr"]
    if node.op == "call_module":
        module = modules[str(node.target)]
        if _is_norm(module):
            return True
        is_layer = isinstance(module, LAYERS)
        if not is_layer and next(module.parameters(), None) is not None:
            return False  # embeddings, attention, recurrent and unknown modules
    else:
        target = node.target
        name = target if isinstance(target, str) else getattr(target, "__name__", "")
        if name in _NORM_CALLS:
            return True
        is_layer = name in _LAYER_CALLS
    n_left = n_layers - is_layer
    return (
        n_left >= 0
        and bool(inputs)
        and all(_is_normed(source, modules, n_layers=n_left) for source in inputs)
    )
