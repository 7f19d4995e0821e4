"""Check what a user-defined loss returns: values per row or target, or a sum and its weight.

Torch does not notice a wrong number of values: a mean of shape (1,), or the (N, N) that
broadcasting makes of (N, 1) and (N,), also has a mean, but not the intended one.
"""

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from afina.errors import ConfigError
from afina.train.nests import list_tensors

Values = Callable[[Any, Any], tuple[Tensor, Tensor | None]]

IGNORED = -100
"""The target that torch's losses ignore by default."""


def own_values(loss: Callable[[Any, Any], Any]) -> Values:
    """Wrap a loss that returns values, values and weights, or sum and weight, with checks."""
    name = loss_name(loss)

    def values(output: Any, target: Any) -> tuple[Tensor, Tensor | None]:
        result = loss(output, target)
        if isinstance(result, tuple):
            return _pair(name, result)
        _check_tensor(name, result)
        if not torch.compiler.is_compiling():  # a graph knows only shapes
            _check_differentiable(name, result, output)
        if result.ndim == 0:
            raise ConfigError(
                "a loss must return one value per row or target",
                but=f"{name} returned one number, which hides how many targets it averages",
                fix=_advice_for_mean(target),
            )
        _check_count(name, result, output, target)
        if not torch.compiler.is_compiling():
            _check_ignored(name, result, target)
        return result, None

    return values


def stated_values(
    loss: Callable[[Any, Any], Any], loss_weight: Callable[[Any, Any], float]
) -> Values:
    """Wrap a loss that returns a mean, whose weight `loss_weight` computes, with checks."""
    name = loss_name(loss)

    def values(output: Any, target: Any) -> tuple[Tensor, Tensor | None]:
        mean = loss(output, target)
        _check_tensor(name, mean)
        if mean.numel() != 1:
            raise ConfigError(
                "with loss_weight, a loss must return one mean",
                but=f"{name} returned shape {tuple(mean.shape)}",
                fix="Leave loss_weight out if these are values per row or target.",
            )
        weight = torch.as_tensor(loss_weight(output, target), dtype=mean.dtype, device=mean.device)
        if weight.numel() != 1:
            raise ConfigError(
                "loss_weight must return one number",
                got=f"shape {tuple(weight.shape)}",
                fix="Return the number of targets that the mean averages.",
            )
        return mean.view(1) * weight.view(1), weight.view(1)

    return values


def loss_name(loss: object) -> str:
    """Return the name of a loss for messages."""
    function = getattr(loss, "func", loss)  # a partial function has no name
    return getattr(function, "__name__", type(function).__name__)


def loss_module(loss: object) -> nn.Module | None:
    """Return the module of a loss: the loss itself, or the owner of a method or partial."""
    if isinstance(loss, nn.Module):
        return loss
    inner = getattr(loss, "func", None) or getattr(loss, "__self__", None)
    return None if inner is None else loss_module(inner)


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise ConfigError(
            "a loss must return a tensor, or a pair of tensors",
            but=f"{name} returned {type(value).__name__}",
            fix="Return one value per row or target, without .item() or .detach().",
        )


def _check_differentiable(name: str, values: Tensor, output: Any) -> None:
    if values.requires_grad or not torch.is_grad_enabled():
        return
    if any(tensor.requires_grad for tensor in list_tensors(output)):
        raise ConfigError(
            "a loss must depend on the outputs",
            but=f"{name} returned values that have no gradient",
            fix="Compute them with torch, without .detach(), .numpy() or argmax.",
        )


def _pair(name: str, pair: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Check values and weights, or a sum and its weight."""
    if len(pair) != 2:
        raise ConfigError(
            "a loss must return values, or a pair: values and weights, or sum and weight",
            but=f"{name} returned {len(pair)} items",
            fix="Return the first two only.",
        )
    values, weights = pair
    _check_tensor(name, values)
    weights = torch.as_tensor(weights, dtype=values.dtype, device=values.device)
    if values.numel() == 1 and weights.numel() == 1:
        return values.view(1), weights.view(1)
    if values.shape != weights.shape:
        raise ConfigError(
            f"the weights that {name} returns must have the shape of its values",
            got=f"values {tuple(values.shape)} and weights {tuple(weights.shape)}",
            fix="Return one weight per value, or the sum of the values and its weight.",
        )
    return values, weights


def _check_count(name: str, values: Tensor, output: Any, target: Any) -> None:
    """Raise unless there is a value for each row or each target."""
    targets, outputs = list_tensors(target), list_tensors(output)
    tensors = [t for t in (*targets, *outputs) if t.ndim]
    if not tensors:
        return
    n_rows = len(tensors[0])
    allowed = {n_rows * size for t in tensors if len(t) == n_rows for size in _sizes(t.shape[1:])}
    allowed |= {t.numel() for t in targets}
    if values.numel() in allowed:
        return
    shown = " and ".join(str(tuple(t.shape)) for t in targets) or "none"
    shown_outputs = " and ".join(str(tuple(t.shape)) for t in outputs) or "no tensor"
    raise ConfigError(
        "a loss must return as many values as there are rows or targets",
        but=f"{name} returned shape {tuple(values.shape)} for targets of shape {shown} and outputs "
        f"of shape {shown_outputs}",
        fix="Return the values before the mean (look for (N, 1) beside (N,), which broadcasts to "
        "(N, N)), or the pair (sum, weight).",
    )


def _sizes(shape: tuple[int, ...]) -> set[int]:
    """Return the numbers of targets that a row may have: products of some of its dimensions.

    One dimension may be shorter by one: a language model's targets are all tokens except the first.
    """
    dims = shape[:6]
    shifted = [(*dims[:at], dims[at] - 1, *dims[at + 1 :]) for at in range(len(dims))]
    return {
        math.prod(chosen)
        for full in (dims, *shifted)
        for n in range(len(full) + 1)
        for chosen in combinations(full, n)
    }


def _check_ignored(name: str, values: Tensor, target: Any) -> None:
    """Raise if zeros for ignored targets would count as values."""
    if not isinstance(target, Tensor) or target.dtype != torch.int64:
        return
    if target.numel() != values.numel():
        return
    ignored = target.reshape(-1) == IGNORED
    counted = values.detach().reshape(-1)[ignored]
    if counted.numel() and not counted.any():  # sync: only for own losses of whole targets
        raise ConfigError(
            f"targets of {IGNORED} must not count",
            but=f"{name} returned 0 for each of {counted.numel()} of them, which would lower the mean",
            fix=f"Return a pair: the values, and the weights (target != {IGNORED}).",
        )


def _advice_for_mean(target: Any) -> str:
    tokens = isinstance(target, Tensor) and not target.is_floating_point() and target.ndim > 1
    if tokens or (isinstance(target, Tensor) and bool((target == IGNORED).any())):
        return (
            "Return the pair (sum, weight), or pass the number of targets that the mean averages: "
            f"loss_weight=lambda output, target: (target != {IGNORED}).sum()."
        )
    if isinstance(target, Tensor) and target.ndim > 1 and target.numel() != len(target):
        return (
            "Return the values before the mean, or pass the number of targets: "
            "loss_weight=lambda output, target: target.numel()."
        )
    return (
        "Return the values before the mean, or pass loss_weight=lambda output, target: len(target)."
    )
