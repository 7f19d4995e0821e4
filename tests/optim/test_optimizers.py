import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from afina.optim import add_l2_grad_, decayed_parameters, make_optimizer

LR, DECAY = 0.05, 0.3


def make_net() -> nn.Module:
    """Make the same small float64 net each time, with matrices, biases and a norm."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.LayerNorm(4), nn.Linear(4, 1)).double()


def run(net: nn.Module, optimizer: Optimizer, *, l2: float = 0.0, steps: int = 20) -> list[Tensor]:
    """Take steps with a learning rate that changes, as under a schedule; give the weights."""
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LR * (1 - step / steps)
        x = torch.randn(8, 3, generator=generator, dtype=torch.float64)
        optimizer.zero_grad()
        (net(x) - x.sum(1, keepdim=True)).square().mean().backward()
        if l2:
            add_l2_grad_(decayed_parameters(net), l2)
        optimizer.step()
    return [p.detach() for p in net.parameters()]


def largest_gap(left: list[Tensor], right: list[Tensor]) -> float:
    """Return the largest difference of any weight."""
    return max((a - b).abs().max().item() for a, b in zip(left, right, strict=True))


def test_sgd_l2_is_decoupled_decay() -> None:
    """With plain sgd the penalty in the loss and the decay of the weights are the same thing."""
    decayed, penalized = make_net(), make_net()
    by_decay = run(decayed, make_optimizer("sgd", decayed, lr=LR, weight_decay=DECAY, momentum=0.0))
    by_penalty = run(penalized, make_optimizer("sgd", penalized, lr=LR, momentum=0.0), l2=DECAY)

    assert largest_gap(by_decay, by_penalty) < 1e-14


def test_sgd_takes_the_lectures_step() -> None:
    """One step is W <- (1 - lr * lambda) W - lr * grad L for matrices, without decay for others."""
    net = make_net()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = make_optimizer("sgd", net, lr=LR, weight_decay=DECAY, momentum=0.0)
    net(torch.ones(2, 3, dtype=torch.float64)).sum().backward()
    optimizer.step()

    for name, parameter in net.named_parameters():
        keep = 1 - LR * DECAY if name in ("0.weight", "3.weight") else 1.0
        assert parameter.grad is not None
        wanted = keep * before[name] - LR * parameter.grad
        torch.testing.assert_close(parameter.detach(), wanted, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(("name", "momentum"), [("sgd", 0.9), ("adamw", 0.0)])
def test_otherwise_l2_and_decay_differ(name: str, momentum: float) -> None:
    """With momentum or adaptive steps, penalty and decay part: they are two settings."""
    decayed, penalized = make_net(), make_net()
    by_decay = run(
        decayed, make_optimizer(name, decayed, lr=LR, weight_decay=DECAY, momentum=momentum)
    )
    by_penalty = run(penalized, make_optimizer(name, penalized, lr=LR, momentum=momentum), l2=DECAY)

    assert largest_gap(by_decay, by_penalty) > 1e-3


def adamw_twin(net: nn.Module) -> Optimizer:
    """Make torch's plain AdamW with decay of matrices only."""
    matrices = [p for p in net.parameters() if p.ndim == 2]
    vectors = [p for p in net.parameters() if p.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=LR, betas=(0.8, 0.95), eps=1e-6, foreach=False)


def adam_twin(net: nn.Module) -> Optimizer:
    """Make torch's plain Adam."""
    return Adam(net.parameters(), lr=LR, betas=(0.8, 0.95), eps=1e-6, foreach=False)


def sgd_twin(net: nn.Module) -> Optimizer:
    """Make torch's plain SGD with momentum."""
    return SGD(net.parameters(), lr=LR, momentum=0.7, foreach=False)


@pytest.mark.parametrize(
    ("name", "weight_decay", "twin"),
    [("adamw", DECAY, adamw_twin), ("adam", 0.0, adam_twin), ("sgd", 0.0, sgd_twin)],
)
def test_steps_are_torchs(
    name: str, weight_decay: float, twin: Callable[[nn.Module], Optimizer]
) -> None:
    """The fused optimizers take the steps of torch's plain loops, to rounding."""
    ours, theirs = make_net(), make_net()
    optimizer = make_optimizer(
        name,
        ours,
        lr=LR,
        weight_decay=weight_decay,
        momentum=0.7,
        beta1=0.8,
        beta2=0.95,
        eps=1e-6,
    )

    assert optimizer.defaults["foreach" if name == "sgd" else "fused"] is True
    assert largest_gap(run(ours, optimizer), run(theirs, twin(theirs))) < 1e-12


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_a_restored_optimizer_goes_on_alike(name: str) -> None:
    """State saved in the middle and loaded into a new optimizer gives the same bits at the end."""
    decay = 0.0 if name == "adam" else DECAY
    whole = make_net()
    optimizer = make_optimizer(name, whole, lr=LR, weight_decay=decay)
    run(whole, optimizer)
    resumed = copy.deepcopy(whole)
    state = copy.deepcopy(optimizer.state_dict())
    expected = run(whole, optimizer)

    again = make_optimizer(name, resumed, lr=LR, weight_decay=decay)
    again.load_state_dict(state)

    assert largest_gap(run(resumed, again), expected) == 0.0


def test_a_parameter_without_gradient_stays() -> None:
    """What got no gradient in a step is neither moved, decayed nor penalized."""
    net = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    before = net[1].weight.detach().clone()
    for name in ("sgd", "adamw"):
        optimizer = make_optimizer(name, net, lr=LR, weight_decay=DECAY)
        net[0](torch.ones(1, 2)).sum().backward()
        add_l2_grad_(decayed_parameters(net), 0.1)
        optimizer.step()

    assert net[1].weight.grad is None
    assert torch.equal(net[1].weight, before)
    add_l2_grad_([], 0.1)


def test_adam_with_weight_decay_is_refused() -> None:
    """Adam has no decoupled decay: the message says which setting to use instead."""
    with pytest.raises(ValueError, match=r"weight_decay=0.01. Use optimizer=adamw .* or l2"):
        make_optimizer("adam", nn.Linear(2, 1), lr=LR, weight_decay=0.01)


def test_unknown_names_are_refused() -> None:
    """An unknown optimizer is named."""
    with pytest.raises(ValueError, match="one of adamw, adam, sgd, shampoo; got optimizer='lion'"):
        make_optimizer("lion", nn.Linear(2, 1), lr=LR)


def test_sgd_takes_parameters_that_get_gradients_late() -> None:
    """A part of the net that is first used in step 2 is trained from then on."""
    net = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    optimizer = make_optimizer("sgd", net, lr=0.1)
    for used in (1, 2, 2):
        sum(part(torch.ones(1, 1)).sum() for part in net[:used]).backward()
        before = net[1].weight.item()
        optimizer.step()
        optimizer.zero_grad()
        assert (net[1].weight.item() != before) == (used == 2)
