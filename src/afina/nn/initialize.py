"""Initialize a whole network, each layer by a scheme or by the activation after it."""

import math
from dataclasses import dataclass, replace
from typing import get_args

import torch
from torch import Tensor, fx, nn

from afina.nn.activation import activation_gain
from afina.nn.arguments import check_choice
from afina.nn.choices import InitName, Scheme
from afina.nn.embed import CategoryEmbedding
from afina.nn.eval_mode import eval_mode
from afina.nn.follow import (
    FollowedLayer,
    FoundBy,
    find_residual_ends,
    follow_layers,
    is_plain,
    trace,
)
from afina.nn.init_schemes import fans, init_weight_, weight_std
from afina.nn.members import MemberHeads, MemberLinear, MemberScale
from afina.nn.periodic import Periodic
from afina.nn.piecewise import PiecewiseLinear
from afina.nn.stacked import StackedLinear
from afina.process_state import Drawing

# Modules that initialize themselves, whatever the scheme.
_STARTING = (CategoryEmbedding, PiecewiseLinear, Periodic, MemberScale, MemberLinear, MemberHeads)

# A layer whose measured scale misses its target by more than this factor is corrected.
_BAND = 1.1
# Predictions start close to 0: the mean of a standardized target, or equal probabilities of all
# classes. Chosen by an experiment that was not kept: docs/design/init.md claims no figure for it.
_OUTPUT_GAIN = 0.1
_N_SAMPLE_ROWS = 256


@dataclass(frozen=True)
class InitRecord:
    """How one layer was initialized.

    Args:
        layer: dotted name of the layer; empty if the layer is the module itself.
        fan_in: number of inputs that one output sums over.
        fan_out: number of outputs that one input feeds.
        follows: the activation after the layer, `output` or `none`.
        scheme: the scheme that was applied.
        gain: the factor in the scheme's formula.
        std: standard deviation of the distribution of the weights (0 for constants).
        found: `trace`: `follows` comes from the forward pass; `order`: the pass could not be
            traced, so it comes from the order in which the layers were registered.
    """

    layer: str
    fan_in: int
    fan_out: int
    follows: str
    scheme: str
    gain: float
    std: float
    found: FoundBy


@Drawing()
@torch.no_grad()
def initialize_(
    module: nn.Module,
    scheme: InitName,
    *,
    constant: float = 0.01,
    generator: torch.Generator | None = None,
    sample: tuple[Tensor, ...] | None = None,
) -> tuple[InitRecord, ...]:
    """Initialize every linear and convolutional layer in place; biases become 0.

    A named scheme is applied to each layer as torch.nn.init would by default (gain 1 for Xavier and
    LeCun, sqrt(2) for Kaiming; `torch`: weights and biases U(-1/sqrt(fan_in), 1/sqrt(fan_in))).

    `auto` depends on what actually follows each layer. relu, leaky_relu, gelu, silu, mish, elu:
    kaiming_normal by fan_in with the activation's gain; tanh, sigmoid: xavier_normal with the gain;
    selu, and layers without an activation: lecun_normal. The output: lecun_normal with gain 0.1.
    The last layer of each residual branch is divided by the number of branches, so that their sum
    stays bounded. Then unit-normal rows pass through the network once, and every layer whose output
    misses its target scale by more than a tenth is rescaled; otherwise, the random errors of narrow
    layers would multiply with depth.

    Norms stay unchanged (except at the end of a residual branch). Embeddings, and the parts that
    members do not share, initialize themselves. Torch's composite modules (attention, recurrent,
    transformer) stay unchanged.

    Args:
        constant: the value of the scheme `constant`.
        generator: source of every draw. None: torch's global one, which is otherwise not used.
        sample: inputs that resemble real ones (zero mean, unit variance), on which `auto` measures
            scales. None: unit-normal rows if the network takes one (n, d) tensor; otherwise, no
            layer is rescaled.

    Returns:
        A record for each layer.

    Raises:
        ValueError: the scheme is unknown, or a lazy layer has no weight yet.

    Example:
        >>> net = nn.Sequential(nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 1))
        >>> records = initialize_(net, "auto", generator=torch.Generator().manual_seed(0))
        >>> [(record.follows, record.scheme, round(record.std, 3)) for record in records]
        [('relu', 'kaiming_normal', 0.2), ('output', 'lecun_normal', 0.014)]
    """
    check_choice("scheme", scheme, ("auto", *get_args(Scheme)))
    graph = trace(module)
    layers = [one for one in follow_layers(module, graph) if _has_own_weight(one)]
    _start_parts_(module, scheme, constant, generator)
    if scheme != "auto":
        return tuple(_init_layer_(one, scheme, None, constant, generator) for one in layers)
    ends = find_residual_ends(module, graph)
    shares = {id(end): 1.0 / len(ends) for end in ends}
    for end in ends:
        if not any(end is one.layer for one in layers):
            end.weight.fill_(shares[id(end)])  # type: ignore[operator]
    gains = [_auto_gain(one) * shares.get(id(one.layer), 1.0) for one in layers]
    records = {
        id(one.layer): _init_layer_(one, _auto_scheme(one), gain, constant, generator)
        for one, gain in zip(layers, gains, strict=True)
    }
    sample = sample or _unit_rows(module, graph, generator)
    if sample is not None:
        aims = {id(one.layer): _aim(one) for one in layers if id(one.layer) not in shares}
        for key, factor in _rescale_(module, sample, aims).items():
            records[key] = replace(records[key], std=records[key].std * factor)
    return tuple(records.values())


def _has_own_weight(one: FollowedLayer) -> bool:
    """Return whether the layer's weight is its own parameter, not computed by a parametrization."""
    weight = dict(one.layer.named_parameters(recurse=False)).get("weight")
    if isinstance(weight, nn.parameter.UninitializedParameter):
        raise ValueError(  # noqa: TRY004 - the type is right, but it is not ready
            f"A layer must have its weight before it is initialized, but {one.name!r} is lazy. "
            "Run one batch through the network first."
        )
    return weight is not None


def _auto_scheme(one: FollowedLayer) -> Scheme:
    if one.follows in ("tanh", "sigmoid"):
        return "xavier_normal"
    return "lecun_normal" if one.follows in ("selu", "none", "output") else "kaiming_normal"


def _auto_gain(one: FollowedLayer) -> float:
    if one.follows == "output":
        return _OUTPUT_GAIN
    if one.follows in ("selu", "none"):
        return 1.0
    return activation_gain(one.follows, negative_slope=one.negative_slope)


def _aim(one: FollowedLayer) -> float | None:
    """Return the target root mean square of a layer's output, for inputs of unit mean square.

    None for tanh and sigmoid, which bound their own scale, and for the output, which feeds no
    layer.
    """
    return None if one.follows in ("tanh", "sigmoid", "output") else _auto_gain(one)


def _init_layer_(
    one: FollowedLayer,
    scheme: Scheme,
    gain: float | None,
    constant: float,
    generator: torch.Generator | None,
) -> InitRecord:
    """Draw a layer's weight and set its bias; with a gain of None, use the scheme's default."""
    weight: Tensor = one.layer.weight  # type: ignore[assignment]
    if type(one.layer).__name__.startswith("ConvTranspose"):
        weight = weight.transpose(0, 1)  # stored (d_in, d_out, *kernel)
    if gain is None:
        gain = math.sqrt(2.0) if scheme.startswith("kaiming") else 1.0
    init_weight_(weight, scheme, gain=gain, constant=constant, generator=generator)
    fan_in, fan_out = fans(weight)
    bias = dict(one.layer.named_parameters(recurse=False)).get("bias")
    if bias is not None:
        bound = 1.0 / math.sqrt(max(fan_in, 1)) if scheme == "torch" else 0.0
        bias.uniform_(-bound, bound, generator=generator) if bound else bias.zero_()
    std = weight_std(scheme, fan_in, fan_out, gain=gain)
    return InitRecord(one.name, fan_in, fan_out, one.follows, scheme, gain, std, one.found)


def _start_parts_(
    module: nn.Module, scheme: InitName, constant: float, generator: torch.Generator | None
) -> None:
    """Initialize all but single layers: embeddings, parts of members, stacks of layers."""
    for part in module.modules():
        if isinstance(part, _STARTING) or getattr(part, "follows", "") == "zero":
            part.reset_parameters(generator)  # type: ignore[operator] # all of these have it
        elif isinstance(part, StackedLinear):
            _init_stack_(part, scheme, constant, generator)


def _init_stack_(
    stack: StackedLinear, scheme: InitName, constant: float, generator: torch.Generator | None
) -> None:
    """Initialize each layer of a stack as if it were a separate layer."""
    for i, weight in enumerate(stack.weight):
        alone = nn.Linear(1, 1, device="meta")  # draws no random numbers
        alone.weight, alone.bias = nn.Parameter(weight.t()), nn.Parameter(stack.bias[i])
        one = FollowedLayer("", alone, stack.follows, 0.01, "order")
        if scheme == "auto":
            _init_layer_(one, _auto_scheme(one), _auto_gain(one), constant, generator)
        else:
            _init_layer_(one, scheme, None, constant, generator)


def _unit_rows(
    module: nn.Module, graph: fx.Graph | None, generator: torch.Generator | None
) -> tuple[Tensor, ...] | None:
    """Return unit-normal rows if the network takes one (n, d) tensor, else None."""
    first = next((part for part in module.modules() if isinstance(part, nn.Linear)), None)
    if graph is None or first is None or not is_plain(graph, module):
        return None
    shape = (_N_SAMPLE_ROWS, first.in_features)
    return (first.weight.new_empty(shape).normal_(generator=generator),)


def _rescale_(
    module: nn.Module, sample: tuple[Tensor, ...], aims: dict[int, float | None]
) -> dict[int, float]:
    """Run the sample once and rescale each layer that misses its target scale, from first to last.

    The network is in evaluation mode, so that no running statistic changes and no unit is dropped.
    """
    factors: dict[int, float] = {}

    def correct(layer: nn.Module, _: object, out: Tensor) -> Tensor | None:
        aim = aims[id(layer)]
        if aim is None or id(layer) in factors:
            return None
        rms = float(out.square().mean().sqrt())
        in_band = aim / _BAND <= rms <= aim * _BAND
        factors[id(layer)] = 1.0 if in_band or not 0.0 < rms < math.inf else aim / rms
        layer.weight.mul_(factors[id(layer)])  # type: ignore[operator]
        return out * factors[id(layer)]

    hooks = [p.register_forward_hook(correct) for p in module.modules() if id(p) in aims]
    try:
        with eval_mode(module):
            module(*sample)
    finally:
        for hook in hooks:
            hook.remove()
    return factors
