"""Take the step of torch's fused Adam and AdamW without the surrounding Python: faster, same bits.

On a small network, most of the time in `optimizer.step()` is not spent on arithmetic: the method
collects the tensors again, groups them by device, and sets profiler marks. Here the kernel is
called directly, on the same state.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim import optimizer as torch_optimizer

from afina.optim.shampoo import OneSidedShampoo


def fused_step(optimizer: Optimizer) -> Callable[[], object]:
    """Return a function that does what `optimizer.step()` does.

    It calls the kernel directly for torch's fused Adam and AdamW in their common form, and for the
    parameters that Shampoo leaves to AdamW. In all other cases (other classes, hooks, tensors on
    several devices), it calls `optimizer.step`.

    Evidence: docs/evidence/loop.md.
    """
    if not _is_common(optimizer):
        return optimizer.step

    @torch.no_grad()
    def step() -> None:
        matrices = [group for group in optimizer.param_groups if group.get("matrices")]
        calls = [
            (group, _tensors(group, optimizer))
            for group in optimizer.param_groups
            if not group.get("matrices")
        ]
        if _has_hooks(optimizer) or any(tensors is None for _, tensors in calls):
            optimizer.step()  # the first step, which creates the state
            return
        for group in matrices:
            optimizer.step_matrices(group)  # type: ignore[attr-defined] # only Shampoo has these
        for group, tensors in calls:
            if tensors is not None and tensors[0]:
                torch._foreach_add_(tensors[-1], 1)  # the step counts, one tensor per parameter
                _call_kernel(group, tensors)

    return step


def _tensors(group: dict[str, Any], optimizer: Optimizer) -> tuple[list[Any], ...] | None:
    params = [p for p in group["params"] if p.grad is not None]
    states = [optimizer.state[p] for p in params]
    if not all(states):
        return None
    return (
        params,
        [p.grad for p in params],
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],  # the largest squares, which only amsgrad needs
        [state["step"] for state in states],
    )


def _call_kernel(group: dict[str, Any], tensors: tuple[list[Any], ...]) -> None:
    kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    beta1, beta2 = group["betas"]
    kernel(
        *tensors,
        lr=group["lr"],
        beta1=beta1,
        beta2=beta2,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
    )


def _is_common(optimizer: Optimizer) -> bool:
    if type(optimizer) not in (Adam, AdamW, OneSidedShampoo) or "step" in vars(optimizer):
        return False
    if any(hasattr(optimizer, name) for name in ("grad_scale", "found_inf")):
        return False
    groups = optimizer.param_groups
    params = [p for group in groups for p in group["params"]]
    return (
        all(group["fused"] for group in groups)
        and not any(group["amsgrad"] or group["maximize"] for group in groups)
        and all(
            isinstance(n, float | int) for group in groups for n in (group["lr"], *group["betas"])
        )
        and all(type(p) is nn.Parameter for p in params)
        and len({(p.device, p.dtype) for p in params}) == 1
    )


def _has_hooks(optimizer: Optimizer) -> bool:
    return bool(
        optimizer._optimizer_step_pre_hooks  # noqa: SLF001 - the only way to see them
        or optimizer._optimizer_step_post_hooks  # noqa: SLF001
        or torch_optimizer._global_optimizer_pre_hooks  # noqa: SLF001
        or torch_optimizer._global_optimizer_post_hooks  # noqa: SLF001
    )
