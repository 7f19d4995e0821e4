"""Other people's code under the trainer. A test is skipped by name where its package is missing.

`./check` installs the packages, and there a missing one is a failure.
"""

import importlib
import os
from collections.abc import Callable, Iterable
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")  # they are gone when it is deleted
N_CLASSES = 3


def import_client(name: str) -> ModuleType:
    """Import a package, or skip the test where it need not be installed."""
    if "AFINA_CHECK_INSTALLED" in os.environ:
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed")


@pytest.fixture(scope="session")
def operators() -> None:
    """Make torchvision importable beside a torch without CUDA too; others import it, if it is there.

    PyPI's torchvision is built for CUDA. Without it, its compiled operators cannot be loaded, and its
    import fails because two of them are not declared. No image classifier needs them.
    """
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return
    except RuntimeError:
        for name in ("nms", "qnms"):
            OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


@pytest.fixture(scope="session")
def torchvision(operators: None) -> ModuleType:
    """Import torchvision."""
    return import_client("torchvision")


@pytest.fixture(scope="session")
def timm(torchvision: ModuleType) -> ModuleType:
    """Import timm, which needs torchvision."""
    return import_client("timm")


@pytest.fixture(scope="session")
def torchmetrics(operators: None) -> ModuleType:
    """Import torchmetrics."""
    return import_client("torchmetrics")


@pytest.fixture(scope="session")
def image_batches() -> list[tuple[Tensor, Tensor]]:
    """Return two batches of eight small images in float64, and their classes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, 3, 32, 32, dtype=torch.float64, generator=generator)
    y = torch.randint(N_CLASSES, (16,), generator=generator)
    return list(zip(x.split(8), y.split(8), strict=True))


def train_by_hand(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Callable[..., Tensor],
    optimizer: Optimizer,
    *,
    epochs: int = 1,
    after_step: Callable[[], object] = lambda: None,
    after_epoch: Callable[[], object] = lambda: None,
) -> None:
    """Train with the loop that everyone writes; `loss` returns a mean or one value per row."""
    for _ in range(epochs):
        model.train()
        for x, y in batches:
            optimizer.zero_grad()
            loss(model(x), y).mean().backward()
            optimizer.step()
            after_step()
        after_epoch()


@pytest.fixture(scope="session")
def by_hand() -> Callable[..., None]:
    """Return the loop that everyone writes."""
    return train_by_hand


def largest_difference(one: nn.Module, other: nn.Module) -> float:
    """Return the largest difference of two models' parameters and buffers."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


@pytest.fixture(scope="session")
def difference() -> Callable[[nn.Module, nn.Module], float]:
    """Return the function that compares two models."""
    return largest_difference
