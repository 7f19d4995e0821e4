"""Initialization of a whole network, each layer by a scheme or by the activation behind it."""

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, fx, nn

from afina.nn.activation import activation_gain
from afina.nn.embed import CategoryEmbedding
from afina.nn.follow import (
    Followed,
    Found,
    find_residual_ends,
    follow_layers,
    is_plain,
    trace,
)
from afina.nn.init_schemes import Scheme, fans, init_weight_, weight_std
from afina.nn.members import MemberHeads, MemberLinear, MemberScale
from afina.nn.periodic import Periodic
from afina.nn.piecewise import PiecewiseLinear
from afina.nn.stacked import StackedLinear

InitName: TypeAlias = Scheme | Literal["auto"]

# Layers with a start of their own, whatever the scheme.
_STARTING = (CategoryEmbedding, PiecewiseLinear, Periodic, MemberScale, MemberLinear, MemberHeads)

# How far a layer's measured scale may be from what its gain aims at before it is corrected.
_BAND = 1.1
# Predictions start close to 0, which is the mean of a standardized target and equal chances of all
# classes. Better than 1 on 4 of 4 tables, and no worse than 0 or 0.03: docs/design/init.md.
_OUTPUT_GAIN = 0.1
_N_SAMPLE_ROWS = 256


@dataclass(frozen=True)
class InitRecord:
    """How one layer was initialized.

    Args:
        layer: its dotted name; the empty string if it is the module itself.
        follows: the activation behind it, `output` or `none`.
        gain: the factor in the scheme's formula.
        std: standard deviation that the weights were drawn with (0 for constants).
        found: `trace`: `follows` is from the forward pass; `order`: the pass could not be traced,
            so it is from the order in which the layers were registered.
    """

    layer: str
    fan_in: int
    fan_out: int
    follows: str
    scheme: str
    gain: float
    std: float
    found: Found


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

    `auto` goes by what really follows each layer. relu, leaky_relu, gelu, silu, mish, elu:
    kaiming_normal by fan_in with the activation's gain; tanh, sigmoid: xavier_normal with the gain;
    selu and layers without an activation: lecun_normal. The output: lecun_normal with gain 0.1.
    What ends a residual branch is divided by the number of branches, so that their sum stays
    bounded. Then unit-normal rows go through once, and a layer whose output is off its aim by more
    than a tenth is rescaled: without it, chance errors of narrow layers multiply with depth.

    Norms keep what they have (except as the end of a residual branch); embeddings, and what members
    do not share, are drawn anew in their own way; torch's composite modules (attention, recurrent, transformer) are left alone.

    Args:
        constant: the value of the scheme `constant`.
        generator: source of every draw; torch's global one is not touched unless it is None.
        sample: inputs that look like real ones (zero mean, unit variance), for the check of `auto`.
            None: made up where the network takes one (n, d) tensor; else there is no check.

    Returns:
        A record a layer; `init_table` prints them.

    Raises:
        ValueError: an unknown scheme, or a lazy layer that has no weight yet.

    Example:
        >>> net = nn.Sequential(nn.Linear(50, 50), nn.ReLU(), nn.Linear(50, 1))
        >>> records = initialize_(net, "auto", generator=torch.Generator().manual_seed(0))
        >>> [(record.follows, record.scheme, round(record.std, 3)) for record in records]
        [('relu', 'kaiming_normal', 0.2), ('output', 'lecun_normal', 0.014)]
    """
    if scheme not in ("auto", *get_args(Scheme)):
        names = ", ".join(("auto", *get_args(Scheme)))
        raise ValueError(f"scheme must be one of {names}, however: {scheme=}.")
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
    records = {}
    for one in layers:
        gain = _auto_gain(one) * shares.get(id(one.layer), 1.0)
        records[id(one.layer)] = _init_layer_(one, _auto_scheme(one), gain, constant, generator)
    sample = sample or _unit_rows(module, graph, generator)
    if sample is not None:
        aims = {id(one.layer): _aim(one) for one in layers if id(one.layer) not in shares}
        for key, factor in _rescale_(module, sample, aims).items():
            records[key] = replace(records[key], std=records[key].std * factor)
    return tuple(records.values())


def init_table(records: tuple[InitRecord, ...]) -> str:
    """Lay the records out as text, a line a layer.

    Example:
        >>> print(init_table((InitRecord("0", 4, 8, "relu", "lecun_normal", 1.0, 0.5, "trace"),)))
        layer  fan_in  fan_out  follows  scheme        gain   std    found
        0      4       8        relu     lecun_normal  1.000  0.500  trace
    """
    rows = [("layer", "fan_in", "fan_out", "follows", "scheme", "gain", "std", "found")]
    for one in records:
        sizes = (str(one.fan_in), str(one.fan_out))
        numbers = (f"{one.gain:.3f}", f"{one.std:.3f}")
        rows.append((one.layer or "(itself)", *sizes, one.follows, one.scheme, *numbers, one.found))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _has_own_weight(one: Followed) -> bool:
    """Tell if the layer's weight is its own parameter, not computed by a parametrization."""
    weight = dict(one.layer.named_parameters(recurse=False)).get("weight")
    if isinstance(weight, nn.parameter.UninitializedParameter):
        raise ValueError(  # noqa: TRY004 - of the right type, but not ready
            f"Every layer must have its weight to be initialized, however: {one.name!r} is lazy. "
            "Run one batch through the network first."
        )
    return weight is not None


def _auto_scheme(one: Followed) -> Scheme:
    if one.follows in ("tanh", "sigmoid"):
        return "xavier_normal"
    return "lecun_normal" if one.follows in ("selu", "none", "output") else "kaiming_normal"


def _auto_gain(one: Followed) -> float:
    if one.follows == "output":
        return _OUTPUT_GAIN
    if one.follows in ("selu", "none"):
        return 1.0
    return activation_gain(one.follows, negative_slope=one.negative_slope)


def _aim(one: Followed) -> float | None:
    """Say what root mean square a layer's output should have for inputs of unit mean square.

    tanh and sigmoid hold their scale by themselves, and nothing comes behind the output.
    """
    return None if one.follows in ("tanh", "sigmoid", "output") else _auto_gain(one)


def _init_layer_(
    one: Followed,
    scheme: Scheme,
    gain: float | None,
    constant: float,
    generator: torch.Generator | None,
) -> InitRecord:
    """Draw a layer's weight and set its bias; a gain of None is the scheme's own default."""
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
    """Draw what is no single layer: embeddings, what members do not share, and stacks of layers."""
    for part in module.modules():
        if isinstance(part, _STARTING) or getattr(part, "follows", "") == "zero":
            part.reset_parameters(generator)  # type: ignore[operator] # every one of them has it
        elif isinstance(part, StackedLinear):
            _init_stack_(part, scheme, constant, generator)


def _init_stack_(
    stack: StackedLinear, scheme: InitName, constant: float, generator: torch.Generator | None
) -> None:
    """Initialize each layer of a stack as if it stood alone."""
    for i, weight in enumerate(stack.weight):
        alone = nn.Linear(1, 1, device="meta")  # so that nothing is drawn
        alone.weight, alone.bias = nn.Parameter(weight.t()), nn.Parameter(stack.bias[i])
        one = Followed("", alone, stack.follows, 0.01, "order")
        own = scheme == "auto"
        _init_layer_(
            one,
            _auto_scheme(one) if own else scheme,  # type: ignore[arg-type] # auto is not one
            _auto_gain(one) if own else None,
            constant,
            generator,
        )


def _unit_rows(
    module: nn.Module, graph: fx.Graph | None, generator: torch.Generator | None
) -> tuple[Tensor, ...] | None:
    """Make unit-normal rows for a network that takes one (n, d) tensor; None for any other."""
    first = next((part for part in module.modules() if isinstance(part, nn.Linear)), None)
    if graph is None or first is None or not is_plain(graph, module):
        return None
    weight = first.weight
    rows = torch.empty(_N_SAMPLE_ROWS, first.in_features, dtype=weight.dtype, device=weight.device)
    return (rows.normal_(generator=generator),)


def _rescale_(
    module: nn.Module, sample: tuple[Tensor, ...], aims: dict[int, float | None]
) -> dict[int, float]:
    """Run the sample once and rescale each layer that misses its aim, front to back.

    The pass is in evaluation mode, so that no running statistic moves and nothing is dropped.
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

    modes = [(part, part.training) for part in module.modules()]
    hooks = [p.register_forward_hook(correct) for p in module.modules() if id(p) in aims]
    try:
        module.eval()
        module(*sample)
    finally:
        for hook in hooks:
            hook.remove()
        for part, training in modes:
            part.training = training
    return factors
