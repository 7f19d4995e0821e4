"""The loss to minimize: the loss of a network, or the mean of its members' losses."""

from torch import Tensor, nn
from torch.nn import functional

from afina.train.loss import Loss, WeightedLoss


def make_loss(n_classes: int, *, n_members: int, label_smoothing: float) -> Loss:
    """Return cross-entropy for classes, squared error for numbers.

    With members, the training loss of a row is the mean of the members' losses. The loss of their
    mean prediction would let members rely on each other; it is used in evaluation only.

    Args:
        n_classes: number of classes, 0 for regression.
        n_members: number of members.
        label_smoothing: share of the target probability spread over all classes.
    """
    if n_members > 1:
        return _members_classes(label_smoothing) if n_classes else _members_numbers()
    if n_classes:
        return nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    return nn.MSELoss()


def _members_classes(label_smoothing: float) -> WeightedLoss:
    """Shape: outputs (n, k, n_classes) or (n, n_classes), targets (n,)."""

    def flat(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if output.ndim == 2:
            return output, target
        return output.flatten(0, 1), target.unsqueeze(1).expand(output.shape[:2]).flatten()

    def values(output: Tensor, target: Tensor) -> tuple[Tensor, None]:
        scores, classes = flat(output, target)
        each = functional.cross_entropy(
            scores, classes, reduction="none", label_smoothing=label_smoothing
        )
        return each.view(len(target), -1).mean(dim=1), None

    def mean(output: Tensor, target: Tensor) -> tuple[Tensor, float]:
        scores, classes = flat(output, target)
        value = functional.cross_entropy(scores, classes, label_smoothing=label_smoothing)
        return value, float(len(target))

    return WeightedLoss(values, mean)


def _members_numbers() -> WeightedLoss:
    """Shape: outputs (n, k, 1) or (n, 1), targets (n, 1)."""

    def values(output: Tensor, target: Tensor) -> tuple[Tensor, None]:
        gaps = output.flatten(1) - target
        return gaps.square().mean(dim=1), None

    def mean(output: Tensor, target: Tensor) -> tuple[Tensor, float]:
        each = output.flatten(1)
        return functional.mse_loss(each, target.expand_as(each)), float(len(target))

    return WeightedLoss(values, mean)
