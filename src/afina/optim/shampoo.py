"""One-sided Shampoo: precondition the steps of matrices with past gradients."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw

from afina.nn import StackedLinear

SMALLEST_SIDE, LARGEST_SIDE = 32, 1024
"""Bounds on the length of the shorter side of the matrices that are preconditioned."""

_MOMENTUM = 0.95
_COVARIANCE_DECAY = 0.99
_DAMPING = 1e-4
_STEP_SIZE = 0.4
_ROOT_EVERY = 10
_ROOT_ALWAYS_BEFORE = 5
_SMALLEST_NORM = 1e-30  # below it, steps shrink, so that no gradient means no step


def hidden_matrices(module: nn.Module) -> list[nn.Parameter]:
    """List the weights of linear layers that Shampoo preconditions, in the module's order.

    These are the weights of `nn.Linear` and `StackedLinear` whose shorter side is long enough to
    have directions worth distinguishing, and short enough for a root to be computed. The output
    layers of a stack are excluded, because the loss itself scales their few columns.

    Example:
        >>> net = nn.Sequential(nn.Linear(64, 48), nn.Linear(48, 2))
        >>> [tuple(p.shape) for p in hidden_matrices(net)]
        [(48, 64)]
    """
    matrices: dict[int, nn.Parameter] = {}
    for part in module.modules():
        if isinstance(part, nn.Linear) or (
            isinstance(part, StackedLinear) and part.follows not in ("output", "zero")
        ):
            weight = part.get_parameter("weight")
            if weight.is_complex() or not weight.requires_grad:
                continue
            if SMALLEST_SIDE <= min(weight.shape[-2:]) <= LARGEST_SIDE:
                matrices[id(weight)] = weight
    return list(matrices.values())


class OneSidedShampoo(Optimizer):
    """Precondition matrices with the covariance of their gradients; train the rest with AdamW.

    For a matrix W, or each matrix of a stack, with a gradient G of shape (d_in, d_out), where d_out
    is the shorter side (otherwise transposed):

        M <- 0.95 M + 0.05 G                   C <- 0.99 C + 0.01 G^T G
        U = (0.95 M + 0.05 G) (C / tr(C) + 1e-4 I)^(-1/2)
        W <- (1 - lr * weight_decay) W - 0.4 lr U / rms(U)

    The root is recomputed at steps 1 to 4, and then at every tenth step. The last line gives a step
    the size of an AdamW step, so that one learning rate suits all parameters. The cost is two
    matrix products at each step, and an eigendecomposition of C at every tenth.

    Args:
        params: parameter groups, as for any torch optimizer. Groups with `matrices=True` hold
            weights with two dimensions, or with three: stacks of matrices.
        lr: learning rate.
        betas, eps: as in AdamW.
        fused: use torch's fused kernel for AdamW.

    Raises:
        ValueError: a matrix has fewer than two dimensions.

    Example:
        >>> weight = nn.Parameter(torch.eye(2))
        >>> optimizer = OneSidedShampoo([{"params": [weight], "matrices": True}], lr=0.1)
        >>> weight.grad = torch.tensor([[100.0, 0.0], [0.0, 1.0]])
        >>> optimizer.step()
        >>> weight.detach()
        tensor([[0.9347, 0.0000],
                [0.0000, 0.9538]])

    Source: Gupta et al. 2018, arXiv:1802.09568 (Shampoo); Xie et al. 2025, arXiv:2503.10537 (one
        side suffices); Liu et al. 2025, arXiv:2502.16982 (steps of AdamW's size).

    Evidence: docs/evidence/recipe.md.
    """

    # Unwrapped: torch's wrappers hide these from its compiler, and load it for that, which takes
    # seconds.
    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)

    def __init__(
        self,
        params: Sequence[Mapping[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": 0.0,
            "matrices": False,
            "fused": fused,
            "amsgrad": False,
            "maximize": False,
            "decoupled_weight_decay": True,
        }
        super().__init__([dict(group) for group in params], defaults)
        flat = [p for g in self.param_groups if g["matrices"] for p in g["params"] if p.ndim < 2]
        if flat:
            raise ValueError(f"matrices must have two dimensions; got {tuple(flat[0].shape)}.")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Perform one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["matrices"]:
                self.step_matrices(group)
            else:
                self._step_others(group)
        return loss

    @torch.no_grad()
    def step_matrices(self, group: dict[str, Any]) -> None:
        """Perform the step of a group of matrices."""
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight] or self._new_state(weight)
            state["step"] += 1
            direction = _direction(weight.grad, state, int(state["step"]))
            size = math.sqrt(math.prod(weight.shape[-2:])) * _STEP_SIZE
            norm = torch.linalg.vector_norm(direction, dim=(-2, -1), keepdim=True)
            direction.mul_(size / norm.clamp_min(_SMALLEST_NORM))
            if group["weight_decay"]:
                weight.mul_(1.0 - group["lr"] * group["weight_decay"])
            weight.sub_(direction, alpha=group["lr"])

    def _new_state(self, weight: Tensor) -> dict[str, Any]:
        side = min(weight.shape[-2:])
        square = torch.zeros(
            *weight.shape[:-2], side, side, dtype=weight.dtype, device=weight.device
        )
        state = {
            "step": torch.tensor(0.0, dtype=torch.float32, device="cpu"),
            "momentum": torch.zeros_like(weight),
            "covariance": square,
            "root": square.clone(),
        }
        self.state[weight] = state
        return state

    def _step_others(self, group: dict[str, Any]) -> None:
        params = [p for p in group["params"] if p.grad is not None]
        for p in params:
            if not self.state[p]:
                on = p.device if group["fused"] else "cpu"  # as in torch's AdamW
                self.state[p] = {
                    "step": torch.zeros((), dtype=torch.float32, device=on),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }
        states = [self.state[p] for p in params]
        adamw(
            params,
            [p.grad for p in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=group["fused"],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def _direction(grad: Tensor, state: dict[str, Any], n: int) -> Tensor:
    """Record a gradient in the state, and return the direction of step n, counted from 1."""
    momentum, covariance = state["momentum"], state["covariance"]
    momentum.lerp_(grad, 1.0 - _MOMENTUM)
    wide = grad.shape[-2] < grad.shape[-1]
    covariance.lerp_(grad @ grad.mT if wide else grad.mT @ grad, 1.0 - _COVARIANCE_DECAY)
    if n < _ROOT_ALWAYS_BEFORE or n % _ROOT_EVERY == 0:
        state["root"].copy_(_inverse_root(covariance))
    ahead = grad.lerp(momentum, _MOMENTUM)
    direction: Tensor = state["root"] @ ahead if wide else ahead @ state["root"]
    return direction


def _inverse_root(covariance: Tensor) -> Tensor:
    """Compute (C / tr(C) + 1e-4 I)^(-1/2): (*, d, d) -> (*, d, d).

    Dividing by the trace and adding the damping come before the decomposition, because LAPACK
    returns NaN for some covariances of rank 1 with tiny numbers.
    """
    narrow = covariance.dtype not in (torch.float32, torch.float64)  # eigh needs at least float32
    square = covariance.float() if narrow else covariance
    trace = square.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None]
    square = square / trace.clamp_min(torch.finfo(square.dtype).tiny)
    square.diagonal(dim1=-2, dim2=-1).add_(_DAMPING)
    values, vectors = torch.linalg.eigh(square)
    root: Tensor = (vectors * values.clamp_min(_DAMPING).rsqrt().unsqueeze(-2)) @ vectors.mT
    return root
