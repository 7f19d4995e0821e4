"""Decide which parameters weight decay shrinks: by module type and role, never by name alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from torch import nn

from afina.nn import (
    NORMS,
    CategoryEmbedding,
    FeatureScale,
    MemberHeads,
    MemberLinear,
    MemberScale,
    ParametricActivation,
    Periodic,
    PiecewiseLinear,
    StackedLinear,
)

Role: TypeAlias = Literal[
    "weight",
    "embedding",
    "bias",
    "norm",
    "vector",
    "numeric",
    "scaling",
    "activation",
    "member",
]

# Torch modules whose parameters with two dimensions or more multiply inputs, even if a dimension is
# 1 (a linear layer with one output has a weight of shape (1, d_in)).
_MULTIPLYING = (
    nn.Linear,
    nn.Bilinear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag, CategoryEmbedding)
_OURS: dict[type[nn.Module], tuple[Role, Role]] = {  # role of `bias`, and of the other parameters
    PiecewiseLinear: ("numeric", "numeric"),
    Periodic: ("numeric", "numeric"),
    FeatureScale: ("scaling", "scaling"),
    ParametricActivation: ("activation", "activation"),
    MemberScale: ("bias", "member"),
    MemberLinear: ("bias", "member"),
    MemberHeads: ("bias", "weight"),
    StackedLinear: ("bias", "weight"),
}


@dataclass(frozen=True, eq=False)
class ParameterRole:
    """The role of a parameter, and whether weight decay shrinks it.

    Args:
        name: dotted name of the parameter in the module; for tied parameters, the first name.
        module: class name of the module that holds the parameter.
        role: `weight`: a matrix or kernel; `embedding`: a table of vectors; `bias`; `norm`: any
            parameter of a normalization; `vector`: anything else with one dimension, such as a
            layer scale or the vector for unknown levels; `numeric`: any parameter of an
            embedding of numbers; `scaling`: a parameter of `FeatureScale`; `activation`: a
            parameter of `ParametricActivation`; `member`: a scale in which members differ.
    """

    name: str
    parameter: nn.Parameter
    module: str
    role: Role

    @property
    def decays(self) -> bool:
        """Whether weight decay shrinks the parameter: only weights and embedding tables."""
        return self.role in ("weight", "embedding")


def decay_groups(module: nn.Module) -> tuple[ParameterRole, ...]:
    """Return the role of each trainable parameter, in the order of `module.parameters()`.

    Weights of linear, convolutional, bilinear, recurrent and attention modules decay, and so do
    embedding tables: they are matrices, and decay pulls levels that are rare in the data toward the
    mean. Biases, vectors, and everything in a normalization do not decay: shrinking them removes no
    capacity, but changes the function. In modules of unknown type, a parameter with at least two
    dimensions larger than 1 is a weight, so a norm's (1, d, 1, 1) is a vector.

    Raises:
        ValueError: a parameter is lazy, and has no shape yet.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        >>> [(role.name, role.decays) for role in decay_groups(net)]
        [('0.weight', True), ('0.bias', False), ('1.weight', False), ('1.bias', False)]
    """
    roles = []
    seen: set[int] = set()
    for path, owner in module.named_modules():
        for leaf, parameter in owner.named_parameters(recurse=False):
            if id(parameter) in seen or not parameter.requires_grad:
                continue
            seen.add(id(parameter))
            name = f"{path}.{leaf}" if path else leaf
            if isinstance(parameter, nn.parameter.UninitializedParameter):
                raise ValueError(  # noqa: TRY004 - the type is right, but it is not ready
                    f"Every parameter must have its shape, but {name!r} is lazy. "
                    "Run one batch through the network first."
                )
            roles.append(
                ParameterRole(name, parameter, type(owner).__name__, _role(owner, leaf, parameter))
            )
    return tuple(roles)


def decayed_parameters(module: nn.Module) -> list[nn.Parameter]:
    """List the parameters that weight decay and the l2 penalty shrink."""
    return [one.parameter for one in decay_groups(module) if one.decays]


def parameter_groups(
    module: nn.Module,
    weight_decay: float,
    *,
    lr: float | None = None,
    lr_factors: Mapping[Role, float] | None = None,
) -> list[dict[str, Any]]:
    """Split the trainable parameters into groups for torch's optimizers, without empty groups.

    Parameters that decay come first; among them, and among the others, those with a factor of 1
    come first.

    Args:
        weight_decay: weight decay of the parameters that decay.
        lr: learning rate; required with `lr_factors`.
        lr_factors: factors of the learning rate by role, above 0; 1 for all other roles.

    Raises:
        ValueError: there is nothing to train, or a factor is out of range.

    Example:
        >>> [group["weight_decay"] for group in parameter_groups(nn.Linear(2, 1), 0.01)]
        [0.01, 0.0]
        >>> groups = parameter_groups(nn.Linear(2, 1), 0.0, lr=0.5, lr_factors={"bias": 0.5})
        >>> [group["lr"] for group in groups]
        [0.5, 0.25]
    """
    roles = decay_groups(module)
    if not roles:
        raise ValueError(
            f"A module must have parameters to train, but {type(module).__name__} has none "
            "with requires_grad=True. Unfreeze some."
        )
    factors = dict(lr_factors or {})
    if not all(factor > 0 for factor in factors.values()) or (factors and lr is None):
        raise ValueError(
            f"lr_factors must be above 0 and be passed together with lr; got {factors}, {lr=}."
        )
    groups: dict[tuple[bool, bool, float], list[nn.Parameter]] = {}
    for one in roles:
        factor = factors.get(one.role, 1.0)
        groups.setdefault((not one.decays, factor != 1.0, factor), []).append(one.parameter)
    return [
        {"params": params, "weight_decay": 0.0 if spared else weight_decay}
        | ({"lr": lr * factor} if factors and lr is not None else {})
        for (spared, _, factor), params in sorted(groups.items(), key=lambda group: group[0])
    ]


def _role(owner: nn.Module, leaf: str, parameter: nn.Parameter) -> Role:
    ours = next((roles for kind, roles in _OURS.items() if isinstance(owner, kind)), None)
    if ours is not None:
        return ours[leaf != "bias"]
    if isinstance(owner, NORMS):
        return "norm"
    if leaf.startswith("bias") or leaf.endswith("bias"):
        return "bias"
    if isinstance(owner, _EMBEDDINGS) and parameter.ndim > 1:
        return "embedding"
    if isinstance(owner, _MULTIPLYING):
        return "weight" if parameter.ndim > 1 else "vector"
    return "weight" if sum(size > 1 for size in parameter.shape) > 1 else "vector"
