"""The arithmetic of batch normalization over several micro-batches."""

import pytest
import torch
from torch import Tensor, nn

from afina.train.window.joint_norm import (
    JointNorm,
    JointNormInputs,
    update_running,
    window_statistics,
)


class Kept(list):
    """Inputs that are kept for a second backward pass."""

    def clear(self) -> None:
        pass


def normalize(module: nn.Module, weight: Tensor, bias: Tensor, *inputs: Tensor) -> list[Tensor]:
    """Normalize micro-batches jointly; keep their inputs as they are."""
    statistics = window_statistics(module, list(inputs), None)
    shared = JointNormInputs(statistics, None, weight, lambda x: x)
    shared.slots = Kept(x.detach() for x in inputs)
    _, *outputs = JointNorm.apply(shared, torch.empty(0), weight, bias, *inputs)
    return outputs


@pytest.mark.parametrize("shape", [(3,), (3, 2), (2, 2, 3), (2, 2, 1, 3)])
def test_gradient_against_finite_differences(shape: tuple[int, ...]) -> None:
    """The gradients of inputs, scale and shift are those of finite differences."""
    torch.manual_seed(0)
    module = nn.BatchNorm1d(shape[0]).double()
    inputs = [torch.randn(n, *shape, dtype=torch.float64, requires_grad=True) for n in (2, 1, 3)]
    weight, bias = (torch.randn(shape[0], dtype=torch.float64, requires_grad=True) for _ in "wb")

    def function(*tensors: Tensor) -> Tensor:
        return torch.cat(normalize(module, *tensors))

    assert torch.autograd.gradcheck(function, (weight, bias, *inputs))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_memory_format_stays(memory_format: torch.memory_format) -> None:
    """Outputs have the memory layout of the inputs."""
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=memory_format)
    (y,) = normalize(nn.BatchNorm2d(3), torch.ones(3), torch.zeros(3), x)

    assert y.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_has_float32_statistics(dtype: torch.dtype) -> None:
    """Statistics of half precision are taken in float32; outputs are in half precision."""
    torch.manual_seed(0)
    module = nn.BatchNorm1d(3)
    inputs = [(torch.randn(n, 3) + 30).to(dtype) for n in (40, 24)]
    statistics = window_statistics(module, inputs, None)
    exact = torch.cat(inputs).double()

    assert statistics.mean.dtype is torch.float32
    torch.testing.assert_close(statistics.mean.double(), exact.mean(0), rtol=1e-6, atol=0)
    assert all(y.dtype is dtype for y in normalize(module, module.weight, module.bias, *inputs))


def test_a_large_mean_costs_no_digits() -> None:
    """The variance of values far from zero is right to single precision: two passes, no x^2 - m^2."""
    torch.manual_seed(0)
    inputs = [torch.randn(n, 2) + 1e4 for n in (30, 34)]
    statistics = window_statistics(nn.BatchNorm1d(2), inputs, None)
    exact = torch.cat(inputs).double().var(0, correction=0)

    torch.testing.assert_close(statistics.var.double(), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_running_statistics_are_torchs(momentum: float | None) -> None:
    """Three windows update the running pair and the count as torch's own forward does."""
    torch.manual_seed(0)
    ours, theirs = (nn.BatchNorm1d(3, momentum=momentum).double() for _ in range(2))
    for _ in range(3):
        parts = [torch.randn(n, 3, dtype=torch.float64) for n in (1, 4, 2)]
        theirs(torch.cat(parts))
        update_running(ours, window_statistics(ours, parts, None))

    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=0, atol=1e-12)
