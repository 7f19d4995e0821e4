"""Losses as sums and weights, so that the parts of a batch add up to the batch.

A mean hides how many targets it was taken over: the mean of two halves' means is not the mean of
the whole when the halves differ in rows, weights or ignored targets. So every loss takes the form
`(output, target) -> (values, weights)`: a value for each target (class weights included), and the
target's weight in the denominator. The loss of a window is `sum(w * values) / sum(w * weights)`
with row weights `w`, over all of its micro-batches.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.nn import functional as F

from afina.errors import ConfigError
from afina.train.own_loss import own_values, stated_values


@dataclass(frozen=True)
class WeightedLoss:
    """A loss in a form whose parts add up.

    Args:
        values: `(output, target) -> (values, weights)`: one value per target, and its weight in
            the denominator. Weights of None: 1 each.
        mean: `(output, target) -> (mean, weight)`, the same numbers from torch's fused kernel, for
            a window that is one micro-batch without row weights. None: there is no such kernel.
        own: the loss itself if it is user-defined; it may compare rows, and its module may have
            parameters. None: the loss is torch's.
        call: `(model, x) -> output`, used instead of `model(x)` if the loss itself calls the model.
            None: `model(x)` is called.
    """

    values: Callable[[Any, Any], tuple[Tensor, Tensor | None]]
    mean: Callable[[Any, Any], tuple[Tensor, float]] | None = None
    own: Callable[[Any, Any], Any] | None = None
    call: Callable[[nn.Module, Any], Any] | None = None


Loss: TypeAlias = Callable[[Any, Any], Any] | WeightedLoss

# Losses whose `reduction="mean"` is the unweighted mean over all values of `reduction="none"`.
_ELEMENTWISE = (
    nn.MSELoss,
    nn.L1Loss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
    nn.BCELoss,
    nn.BCEWithLogitsLoss,
    nn.SoftMarginLoss,
    nn.MultiLabelSoftMarginLoss,
    nn.PoissonNLLLoss,
)
_OF_CLASSES = (nn.CrossEntropyLoss, nn.NLLLoss)
_OF_ROWS = (nn.KLDivLoss, nn.MultiMarginLoss, nn.MultiLabelMarginLoss)

_FUNCTIONS: dict[Callable[..., Any], Callable[[], nn.Module]] = {
    F.cross_entropy: nn.CrossEntropyLoss,
    F.nll_loss: nn.NLLLoss,
    F.mse_loss: nn.MSELoss,
    F.l1_loss: nn.L1Loss,
    F.smooth_l1_loss: nn.SmoothL1Loss,
    F.huber_loss: nn.HuberLoss,
    F.binary_cross_entropy: nn.BCELoss,
    F.binary_cross_entropy_with_logits: nn.BCEWithLogitsLoss,
}


def make_weighted_loss(
    loss: Loss, loss_weight: Callable[[Any, Any], float] | None = None
) -> WeightedLoss:
    """Turn a loss into one that returns values and weights per target.

    Args:
        loss: a torch loss module (any reduction but "sum"), the torch function of the same name,
            a `WeightedLoss`, or a callable `(output, target)`. The callable returns one value per
            row or per target, shape `(rows, ...)`; or a pair of such values and their weights; or
            a pair of the sum of the values and the weight of that sum. A subclass of a torch loss
            with its own `forward` is such a callable.
        loss_weight: for a callable that returns one mean for all rows: maps `(output, target)` to
            the weight of that mean, such as the number of targets that it averages.

    Raises:
        ConfigError: the sum of the loss cannot be computed from what it returns.

    Example:
        >>> import torch
        >>> loss = make_weighted_loss(nn.CrossEntropyLoss())
        >>> values, weights = loss.values(torch.zeros(3, 2), torch.tensor([0, 1, -100]))
        >>> values.shape, weights.tolist()
        (torch.Size([3]), [1.0, 1.0, 0.0])
    """
    if isinstance(loss, WeightedLoss):
        return loss
    if loss in _FUNCTIONS:
        loss = _FUNCTIONS[loss]()
    if is_torchs(loss) and getattr(loss, "reduction", "") == "sum":
        raise ConfigError(
            "the loss must be a mean, because a sum grows with the batch",
            got=f"{type(loss).__name__}(reduction='sum')",
            fix="Use reduction='mean' and scale the learning rate.",
        )
    if is_torchs(loss) and isinstance(loss, _OF_CLASSES):
        return _class_loss(loss)
    if is_torchs(loss) and isinstance(loss, _ELEMENTWISE):
        return _elementwise_loss(loss)
    if is_torchs(loss) and isinstance(loss, _OF_ROWS):
        return _loss_of_rows(loss)
    if not callable(loss):
        raise ConfigError(
            "loss must be a torch loss, or a callable (output, target)",
            got=type(loss).__name__,
            fix="Pass nn.MSELoss(), for example.",
        )
    if isinstance(loss, type):
        raise ConfigError(
            "loss must be a loss module, not its class",
            got=f"the class {loss.__name__}",
            fix=f"Pass {loss.__name__}().",
        )
    if loss_weight is not None:
        return WeightedLoss(stated_values(loss, loss_weight), own=loss)
    return WeightedLoss(own_values(loss), own=loss)


def is_torchs(loss: object) -> bool:
    """Return whether a loss computes exactly what torch's own class computes.

    A subclass with its own `forward`, or an instance with hooks, can compute anything.
    """
    if not isinstance(loss, nn.modules.loss._Loss):  # noqa: SLF001 - the class all of them share
        return False
    owners = [
        next(one for one in type(loss).__mro__ if name in vars(one))
        for name in ("forward", "__call__")
    ]
    hooked = loss._forward_hooks or loss._forward_pre_hooks  # noqa: SLF001 - the only way to see
    return (
        all(one.__module__.startswith("torch.nn.modules.") for one in owners)
        and "forward" not in vars(loss)
        and not hooked
    )


def weighted_sum(
    values: Tensor, weights: Tensor | None, row_weights: Tensor | None
) -> tuple[Tensor, Tensor | float]:
    """Sum values and weights over all targets, each multiplied by its row's weight.

    Shape:
        values (rows, ...), weights like values, row_weights (rows,) -> scalar, scalar

    Raises:
        ConfigError: there is not one row of values for each row weight.
    """
    if row_weights is None:
        return values.sum(), float(values.numel()) if weights is None else weights.sum()
    if len(values) != len(row_weights):
        if not row_weights.any():  # rows that only pad a process's share
            return values.sum() * 0.0, 0.0
        raise ConfigError(
            "row weights need a loss with values for each row",
            got=f"values of shape {tuple(values.shape)} and {len(row_weights)} row weights",
            fix="Return one value per row, or let the loss take the weights as part of the target.",
        )
    row_weights = row_weights.to(values.dtype).view(-1, *[1] * (values.ndim - 1))
    if weights is None:
        per_row = values.numel() / max(len(values), 1)
        return (values * row_weights).sum(), row_weights.sum() * per_row
    return (values * row_weights).sum(), (weights * row_weights).sum()


def _class_loss(loss: nn.CrossEntropyLoss | nn.NLLLoss) -> WeightedLoss:
    each_loss, mean_loss = copy.copy(loss), copy.copy(loss)
    each_loss.reduction, mean_loss.reduction = "none", "mean"

    def check(output: Tensor, target: Tensor) -> None:
        _check_tensors(loss, output, target)
        if isinstance(loss, nn.CrossEntropyLoss) and output.ndim > 1 and output.shape[1] == 1:
            raise ConfigError(
                "cross entropy needs at least two outputs, one for each class",
                got=f"outputs of shape {tuple(output.shape)}, for which the loss is always 0",
                fix="Give the model an output for each class, or use nn.BCEWithLogitsLoss.",
            )

    def values(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        check(output, target)
        each = each_loss(output, target)
        if target.is_floating_point():  # class probabilities: torch's mean is over rows
            return each, None
        counts = target != loss.ignore_index
        if loss.weight is None:
            return each, counts.to(each.dtype)
        return each, loss.weight[target.clamp(0, len(loss.weight) - 1)] * counts

    def mean(output: Tensor, target: Tensor) -> tuple[Tensor, float]:
        check(output, target)
        value = mean_loss(output, target)
        if target.is_floating_point():
            return value, float(target.numel() / target.shape[1])
        return value, float((target != loss.ignore_index).sum())  # sync: .item()

    return WeightedLoss(values, mean if loss.weight is None else None)


def _elementwise_loss(loss: nn.modules.loss._Loss) -> WeightedLoss:
    each, whole = copy.copy(loss), copy.copy(loss)
    each.reduction, whole.reduction = "none", "mean"

    def values(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        _check_same_shape(loss, output, target)
        return each(output, target), None

    by_row = isinstance(loss, nn.MultiLabelSoftMarginLoss)  # its values are means over one row each

    def mean(output: Tensor, target: Tensor) -> tuple[Tensor, float]:
        _check_same_shape(loss, output, target)
        return whole(output, target), float(len(output) if by_row else output.numel())

    return WeightedLoss(values, mean)


def _loss_of_rows(loss: nn.modules.loss._Loss) -> WeightedLoss:
    each = copy.copy(loss)
    each.reduction = "none"

    def values(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        if isinstance(loss, nn.KLDivLoss):
            _check_same_shape(loss, output, target)
        else:
            _check_tensors(loss, output, target)
        all_values = each(output, target)
        return all_values.flatten(1).sum(1) if loss.reduction == "batchmean" else all_values, None

    return WeightedLoss(values)


def _check_tensors(loss: nn.Module, output: object, target: object) -> None:
    if not (isinstance(output, Tensor) and isinstance(target, Tensor)):
        name, (out, kind) = type(loss).__name__, (type(x).__name__ for x in (output, target))
        raise ConfigError(
            f"{name} needs one tensor of outputs and one of targets",
            got=f"outputs of type {out} and targets of type {kind}",
            fix="Pass a function of your own, such as lambda output, target: loss(output[0], "
            "target[0]), that returns one value per row.",
        )


def _check_same_shape(loss: nn.Module, output: Tensor, target: Tensor) -> None:
    _check_tensors(loss, output, target)
    if output.shape != target.shape:
        raise ConfigError(
            f"{type(loss).__name__} needs outputs and targets of the same shape",
            got=f"{tuple(output.shape)} and {tuple(target.shape)}",
            fix="Reshape one of them; broadcasting would compare every row with every other.",
        )
