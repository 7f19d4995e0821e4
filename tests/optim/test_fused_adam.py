"""The direct step is torch's, bit for bit."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import StepLR

from afina.optim import make_optimizer
from afina.optim.fused_adam import fused_step


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2), nn.PReLU())


def train(model: nn.Module, optimizer: Optimizer, step: Callable[[], object], n_steps: int) -> None:
    """Take steps with changing rates, in which a layer has no gradient now and then."""
    for number in range(n_steps):
        generator = torch.Generator().manual_seed(number)
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
        out = model[:3] if number % 3 == 0 else model
        optimizer.zero_grad()
        out(
            torch.randn(4, 3, generator=generator, dtype=out[0].weight.dtype)
        ).square().sum().backward()
        step()


def everything(model: nn.Module, optimizer: Optimizer) -> list[Tensor]:
    states = [optimizer.state.get(p, {}) for p in model.parameters()]
    numbers = [value for state in states for _, value in sorted(state.items())]
    return [*model.parameters(), *numbers]


OPTIMIZERS = {
    "adamw": lambda m: AdamW(m.parameters(), lr=0.1, weight_decay=0.1, fused=True),
    "groups": lambda m: make_optimizer("adamw", m, lr=0.1, weight_decay=0.2),
    "adam": lambda m: Adam(m.parameters(), lr=0.1, betas=(0.8, 0.95), weight_decay=0.1, fused=True),
    "decoupled adam": lambda m: Adam(
        m.parameters(), weight_decay=0.1, decoupled_weight_decay=True, fused=True
    ),
    # These go through torch's own step.
    "amsgrad": lambda m: AdamW(m.parameters(), lr=0.1, amsgrad=True, fused=True),
    "not fused": lambda m: AdamW(m.parameters(), lr=0.1),
    "sgd": lambda m: SGD(m.parameters(), lr=0.1, momentum=0.9),
    "sgd with decay": lambda m: make_optimizer("sgd", m, lr=0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "sgd with decay"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_and_state_are_torchs(name: str, dtype: torch.dtype) -> None:
    """After steps by torch and directly, and after loading a state between, all is equal."""
    expected_model = network().to(dtype)
    model = copy.deepcopy(expected_model)
    expected, actual = OPTIMIZERS[name](expected_model), OPTIMIZERS[name](model)

    step = fused_step(actual)
    for _ in range(2):
        train(expected_model, expected, expected.step, 5)
        train(model, actual, step, 5)
        actual.load_state_dict(copy.deepcopy(actual.state_dict()))

    pairs = zip(everything(expected_model, expected), everything(model, actual), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", ["adamw", "groups", "adam", "decoupled adam"])
def test_the_common_form_is_direct(name: str) -> None:
    """The kernel is called without torch's step, once that has made the state."""
    model = network()
    optimizer = OPTIMIZERS[name](model)
    step = fused_step(optimizer)
    train(model, optimizer, step, 2)
    optimizer.step = None  # a call of it would fail
    train(model, optimizer, step, 1)


@pytest.mark.parametrize("name", ["amsgrad", "not fused", "sgd", "sgd with decay"])
def test_other_forms_are_left_to_torch(name: str) -> None:
    """What is not known exactly is not touched."""
    optimizer = OPTIMIZERS[name](network())
    assert optimizer.step == fused_step(optimizer)


def test_hooks_and_schedulers_are_called() -> None:
    """A hook registered later, and a scheduler that counts steps, see every step."""
    model = network()
    optimizer = OPTIMIZERS["adamw"](model)
    step = fused_step(optimizer)
    train(model, optimizer, step, 1)
    seen = []
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    train(model, optimizer, step, 2)
    assert [1, 1] == seen

    scheduled = OPTIMIZERS["adamw"](network())
    StepLR(scheduled, 1)
    assert scheduled.step == fused_step(scheduled)
