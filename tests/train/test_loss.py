"""Losses as sums and weights."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from afina.errors import ConfigError
from afina.train.loss import make_weighted_loss, weighted_sum


def mean_of(loss, output: Tensor, target: Tensor) -> Tensor:
    total, weight = weighted_sum(*make_weighted_loss(loss).values(output, target), None)
    return total / weight


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_equals_torchs_mean(weighted: bool, smoothing: float) -> None:
    """Class weights, ignored targets and smoothing give the same mean as torch's own."""
    torch.manual_seed(0)
    output = torch.randn(9, 4, dtype=torch.float64)
    target = torch.tensor([0, 1, 2, 3, -100, 1, 1, -100, 0])
    weight = torch.rand(4, dtype=torch.float64) + 0.1 if weighted else None
    loss = nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing)

    torch.testing.assert_close(mean_of(loss, output, target), loss(output, target))


def test_cross_entropy_over_pixels_counts_every_target() -> None:
    """For targets (rows, pixels), every pixel that is not ignored counts once."""
    torch.manual_seed(0)
    output = torch.randn(3, 4, 5, dtype=torch.float64)
    target = torch.randint(0, 4, (3, 5))
    target[0, :3] = -100
    loss = nn.CrossEntropyLoss()

    torch.testing.assert_close(mean_of(loss, output, target), loss(output, target))


@pytest.mark.parametrize(
    "loss",
    [nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(), F.mse_loss, nn.BCEWithLogitsLoss(), F.l1_loss],
)
def test_elementwise_losses_equal_torchs_mean(loss) -> None:
    """Elementwise losses, as modules or functions, give torch's mean over all elements."""
    torch.manual_seed(0)
    output, target = torch.randn(6, 3, dtype=torch.float64), torch.rand(6, 3, dtype=torch.float64)

    torch.testing.assert_close(mean_of(loss, output, target), loss(output, target))


def test_row_weight_of_two_is_the_row_twice() -> None:
    """A row weight multiplies both the loss and what it is divided by."""
    torch.manual_seed(0)
    output, target = torch.randn(3, 4, dtype=torch.float64), torch.tensor([0, 1, 2])
    loss = nn.CrossEntropyLoss(weight=torch.rand(4, dtype=torch.float64))
    twice = torch.tensor([0, 0, 1, 2, 2])
    weighted = weighted_sum(
        *make_weighted_loss(loss).values(output, target), torch.tensor([2.0, 1.0, 2.0])
    )

    torch.testing.assert_close(weighted[0] / weighted[1], loss(output[twice], target[twice]))


def test_a_bare_mean_is_refused_by_name() -> None:
    """A loss that returns one number is refused, and the message says what to pass instead."""

    def my_mean(output: Tensor, target: Tensor) -> Tensor:
        return ((output - target) ** 2).mean()

    with pytest.raises(ConfigError, match=r"my_mean returned one number.*loss_weight"):
        make_weighted_loss(my_mean).values(torch.zeros(3), torch.ones(3))


def test_a_mean_with_a_stated_weight_is_taken() -> None:
    """With `loss_weight`, a mean counts as the sum that it was computed from."""
    loss = make_weighted_loss(
        lambda output, target: ((output - target) ** 2).mean(),
        loss_weight=lambda output, target: len(target),
    )
    total, weight = weighted_sum(*loss.values(torch.zeros(3), torch.full((3,), 2.0)), None)

    assert (total.item(), float(weight)) == (12.0, 3.0)


def test_a_sum_is_refused_by_name() -> None:
    """A loss that sums is refused, because its gradient would grow with the batch."""
    with pytest.raises(ConfigError, match=r"MSELoss\(reduction='sum'\)"):
        make_weighted_loss(nn.MSELoss(reduction="sum"))


def test_shapes_that_would_broadcast_are_refused() -> None:
    """Outputs (n, 1) against targets (n,) are an error, not n * n comparisons."""
    with pytest.raises(ConfigError, match=r"\(4, 1\) and \(4,\)"):
        make_weighted_loss(nn.MSELoss()).values(torch.zeros(4, 1), torch.zeros(4))


def test_elementwise_loss_module_keeps_its_reduction() -> None:
    """The user's loss module is not changed."""
    loss = nn.MSELoss()
    make_weighted_loss(loss).values(torch.zeros(2), torch.zeros(2))

    assert loss.reduction == "mean"


def test_a_weighted_loss_is_taken_as_it_is() -> None:
    """A `WeightedLoss` is returned unchanged."""
    loss = make_weighted_loss(nn.MSELoss())

    assert make_weighted_loss(loss) is loss
