"""Optimizers by name, with decoupled weight decay, and the gradient of the l2 penalty."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from afina.declaration import resolved
from afina.optim.groups import Role, parameter_groups
from afina.optim.settings import OptimizerName, OptimSettings
from afina.optim.shampoo import OneSidedShampoo, hidden_matrices


def make_optimizer(
    name: OptimizerName,
    module: nn.Module,
    *,
    lr: float,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    lr_factors: Mapping[Role, float] | None = None,
) -> Optimizer:
    """Make an optimizer of a module's trainable parameters, in decay groups.

    Torch's fused kernels are used where they exist (floating point on CPU or CUDA); on one CPU
    thread, a fused step of AdamW takes a third of the time of torch's other implementations.

    Args:
        lr: learning rate before any schedule.
        weight_decay: decoupled decay of weight matrices: W <- (1 - lr * weight_decay) W at every
            step, with the learning rate of that step. Must be 0 for adam.
        momentum: momentum of sgd, in [0, 1).
        beta1: decay of the mean gradient in adam and adamw, and for the parameters that shampoo
            leaves to adamw.
        beta2: decay of the mean squared gradient, for the same optimizers.
        eps: added to the root of the mean squared gradient, for the same optimizers.
        lr_factors: factor of the learning rate by role; see `parameter_groups`.

    Raises:
        ValueError: the name is unknown, there is nothing to train, or adam has weight decay.

    Example:
        >>> optimizer = make_optimizer("sgd", nn.Linear(2, 1), lr=0.1, weight_decay=0.01)
        >>> [group["decoupled_weight_decay"] for group in optimizer.param_groups]
        [0.01, 0.0]
    """
    if name == "adam" and weight_decay > 0.0:
        raise ValueError(
            f"adam must be used without weight_decay; got {weight_decay=}. Use "
            "optimizer=adamw for decoupled decay, or l2 for a penalty in the loss."
        )
    groups = parameter_groups(module, weight_decay, lr=lr, lr_factors=lr_factors)
    fused = _can_fuse(groups)
    match name:
        case "adamw":
            return AdamW(groups, lr=lr, betas=(beta1, beta2), eps=eps, fused=fused)
        case "adam":
            return Adam(groups, lr=lr, betas=(beta1, beta2), eps=eps, fused=fused)
        case "sgd":
            for group in groups:  # torch's weight_decay for SGD would go through the momentum
                group["decoupled_weight_decay"] = group.pop("weight_decay")
            # Not fused: the fused kernel crashes if a parameter gets its first gradient after step
            # 1.
            optimizer = SGD(groups, lr=lr, momentum=momentum, foreach=True)
            optimizer.register_step_pre_hook(_decay_first)
            return optimizer
        case "shampoo":
            groups = _split_matrices(groups, hidden_matrices(module))
            return OneSidedShampoo(groups, lr=lr, betas=(beta1, beta2), eps=eps, fused=fused)
        case _:
            raise ValueError(
                f"optimizer must be one of {', '.join(get_args(OptimizerName))}; got optimizer={name!r}."
            )


def optimizer_from(settings: OptimSettings, module: nn.Module) -> Optimizer:
    """Return the optimizer that the settings describe."""
    factors: dict[Role, float] = {
        "bias": settings.bias_lr_factor,
        "scaling": settings.scale_lr_factor,
        "activation": settings.activation_lr_factor,
        "numeric": settings.numeric_lr_factor,
    }
    return make_optimizer(
        settings.optimizer,
        module,
        lr=resolved(settings.lr),
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        beta1=settings.beta1,
        beta2=settings.beta2,
        lr_factors={role: factor for role, factor in factors.items() if factor != 1.0},
    )


def _split_matrices(
    groups: list[dict[str, Any]], matrices: Sequence[nn.Parameter]
) -> list[dict[str, Any]]:
    """Split each group into the listed matrices and the rest."""
    listed = {id(p) for p in matrices}
    halves = [
        {**group, "params": [p for p in group["params"] if (id(p) in listed) == here]}
        | {"matrices": here}
        for group in groups
        for here in (True, False)
    ]
    return [half for half in halves if half["params"]]


@torch.no_grad()
def add_l2_grad_(params: Sequence[nn.Parameter], l2: float) -> None:
    """Add the gradient of the penalty (l2 / 2) * (sum of squares) to the gradients, in place.

    Parameters without a gradient are skipped, as in the optimizer.

    Example:
        >>> w = nn.Parameter(torch.tensor([2.0]))
        >>> w.grad = torch.tensor([1.0])
        >>> add_l2_grad_([w], 0.5)
        >>> w.grad.item()
        2.0
    """
    if pairs := [(p.grad, p) for p in params if p.grad is not None]:
        grads, weights = map(list, zip(*pairs, strict=True))
        torch._foreach_add_(grads, weights, alpha=l2)


def _can_fuse(groups: list[dict[str, Any]]) -> bool:
    return all(
        p.is_floating_point() and p.device.type in ("cpu", "cuda")
        for group in groups
        for p in group["params"]
    )


@torch.no_grad()
def _decay_first(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001 - torch's signature
    """Shrink the decaying weights before the step, using the learning rate of the step."""
    for group in optimizer.param_groups:
        with_grad = [p for p in group["params"] if p.grad is not None]
        if group["decoupled_weight_decay"] and with_grad:
            torch._foreach_mul_(with_grad, 1.0 - group["lr"] * group["decoupled_weight_decay"])
