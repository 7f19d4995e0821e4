"""One-sided Shampoo is its formulas; what they would break on does not break it."""

import copy

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.optim import AdamW

from afina.nn import StackedLinear
from afina.optim import OneSidedShampoo, fused_step, hidden_matrices, make_optimizer


def twin(weight: np.ndarray, grads: list[np.ndarray], lrs: list[float], decay: float) -> np.ndarray:
    """Train one matrix by the formulas of the docstring, in numpy."""
    if weight.shape[0] < weight.shape[1]:
        return twin(weight.T, [g.T for g in grads], lrs, decay).T
    momentum = np.zeros_like(weight)
    covariance = np.zeros((weight.shape[1],) * 2)
    for n, (grad, lr) in enumerate(zip(grads, lrs, strict=True), start=1):
        momentum = 0.95 * momentum + 0.05 * grad
        covariance = 0.99 * covariance + 0.01 * grad.T @ grad
        if n < 5 or n % 10 == 0:
            damped = covariance / np.trace(covariance) + 1e-4 * np.eye(len(covariance))
            values, vectors = np.linalg.eigh(damped)
            root = vectors @ np.diag(values**-0.5) @ vectors.T
        step = (0.95 * momentum + 0.05 * grad) @ root
        rms = np.sqrt((step**2).mean())
        weight = (1 - lr * decay) * weight - 0.4 * lr * step / rms
    return weight


def shampoo(*weights: nn.Parameter, lr: float = 0.1, decay: float = 0.0) -> OneSidedShampoo:
    """Make the optimizer of matrices alone."""
    group = {"params": list(weights), "matrices": True, "weight_decay": decay}
    return OneSidedShampoo([group], lr=lr)


def take_steps(optimizer: OneSidedShampoo, weight: nn.Parameter, grads: list[Tensor]) -> None:
    for grad in grads:
        weight.grad = grad.clone()
        optimizer.step()


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 99), st.sampled_from([0.0, 0.3]))
def test_its_steps_are_its_formulas(d_in: int, d_out: int, seed: int, decay: float) -> None:
    """A stack of matrices, higher or wider, is trained as each of them by a twin in float64."""
    generator = torch.Generator().manual_seed(seed)
    weight = nn.Parameter(torch.randn(3, d_in, d_out, dtype=torch.float64, generator=generator))
    grads = [
        torch.randn(3, d_in, d_out, dtype=torch.float64, generator=generator) for _ in range(23)
    ]
    lrs = [0.1 / (1 + n) for n in range(23)]
    start = weight.detach().clone().numpy()

    optimizer = shampoo(weight, decay=decay)
    for grad, lr in zip(grads, lrs, strict=True):
        optimizer.param_groups[0]["lr"] = lr
        take_steps(optimizer, weight, [grad])

    for j in range(3):
        wanted = twin(start[j], [g[j].numpy() for g in grads], lrs, decay)
        np.testing.assert_allclose(weight[j].detach().numpy(), wanted, rtol=1e-9, atol=1e-9)


@given(st.sampled_from([1e-12, 1e-3, 1e6]))
def test_the_size_of_the_loss_does_not_matter(factor: float) -> None:
    """A loss in other units gives the same steps, each of 0.4 times the learning rate."""
    grads = [torch.randn(6, 4, dtype=torch.float64) for _ in range(12)]
    ends = []
    for scale in (1.0, factor):
        weight = nn.Parameter(torch.zeros(6, 4, dtype=torch.float64))
        optimizer = shampoo(weight, lr=0.01)
        take_steps(optimizer, weight, [grads[0] * scale])
        assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.004)
        take_steps(optimizer, weight, [g * scale for g in grads[1:]])
        ends.append(weight.detach())

    torch.testing.assert_close(ends[0], ends[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_nothing_to_learn_moves_nothing(dtype: torch.dtype) -> None:
    """Without a gradient, or with one of zeros, a matrix stays; it is finite afterwards."""
    weight = nn.Parameter(torch.ones(40, 40, dtype=dtype))
    optimizer = shampoo(weight)
    optimizer.step()
    take_steps(optimizer, weight, [torch.zeros(40, 40, dtype=dtype)] * 11)
    assert torch.equal(weight, torch.ones(40, 40, dtype=dtype))

    take_steps(optimizer, weight, [torch.eye(40, dtype=dtype)])
    assert weight.isfinite().all()


def test_one_row_that_is_learned_by_heart_stays_finite() -> None:
    """Gradients of rank 1 that fall towards 0 keep every step finite.

    Decomposed as they are, LAPACK gave NaN for such covariances at the tenth step.
    """
    for seed in range(20):
        torch.manual_seed(seed)
        weight = nn.Parameter(torch.randn(8, 64, 64) / 8)
        row, target = torch.randn(8, 1, 64) * 1e-3, torch.randn(8, 1, 64) * 1e-3
        optimizer = shampoo(weight, lr=3e-3)
        for _ in range(40):
            loss = (torch.bmm(row, weight).relu() - target).square().mean()
            (weight.grad,) = torch.autograd.grad(loss, weight)
            optimizer.step()
        assert weight.isfinite().all()


def test_directions_that_differ_in_size_move_alike() -> None:
    """Where gradients are ten times larger along one axis, steps along both are of one size."""
    generator = torch.Generator().manual_seed(0)
    turn, _ = torch.linalg.qr(torch.randn(2, 2, generator=generator))  # so that no entry tells
    weight = nn.Parameter(torch.zeros(60, 2))
    optimizer = shampoo(weight)
    for _ in range(100):
        noise = torch.randn(60, 2, generator=generator) * torch.tensor([1.0, 10.0])
        weight.grad = noise @ turn.T
        optimizer.step()
    along = (weight.detach() @ turn).norm(dim=0)

    assert (along[1] / along[0]).item() == pytest.approx(1.0, rel=0.25)


def wide_net(dtype: torch.dtype = torch.float32) -> nn.Module:
    """Make a net with one matrix for Shampoo, and biases, a norm and outputs for AdamW."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(40, 33), nn.LayerNorm(33), nn.ReLU(), nn.Linear(33, 2))
    return net.to(dtype)


def train(net: nn.Module, step, n_steps: int = 12, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_steps):
        x = torch.randn(16, 40, generator=generator).to(net[0].weight.dtype)
        net.zero_grad()
        (net(x) - x[:, :2].sin()).square().mean().backward()
        step()
    return [p.detach() for p in net.parameters()]


def test_it_takes_hidden_matrices_alone() -> None:
    """Not outputs, biases, norms, tables, thin or huge matrices, nor what is not trained."""
    stack, outputs = StackedLinear(3, 32, 32), StackedLinear(3, 40, 40, follows="output")
    linear, frozen = nn.Linear(64, 32), nn.Linear(64, 64).requires_grad_(requires_grad=False)
    others = [nn.Linear(31, 64), nn.Linear(1025, 1025), nn.Embedding(64, 64), nn.LayerNorm(64)]
    net = nn.ModuleList([stack, outputs, linear, frozen, linear, *others])

    found = hidden_matrices(net)

    assert [id(p) for p in found] == [id(stack.weight), id(linear.weight)]


def test_all_else_is_adamws() -> None:
    """Parameters that are no matrices take AdamW's own steps, with decay in their groups."""
    ours, theirs = wide_net(), wide_net()
    optimizer = make_optimizer("shampoo", ours, lr=0.01, weight_decay=0.1, beta2=0.98)
    groups = [
        {"params": [theirs[3].weight], "weight_decay": 0.1},
        {
            "params": [theirs[0].bias, theirs[1].weight, theirs[1].bias, theirs[3].bias],
            "weight_decay": 0.0,
        },
    ]
    adamw = AdamW(groups, lr=0.01, betas=(0.9, 0.98), fused=True)
    pairs = list(zip(ours.parameters(), theirs.parameters(), strict=True))
    for seed in range(6):
        train(ours, lambda: None, 1, seed)
        for mine, other in pairs:
            other.grad = mine.grad.clone()
        optimizer.step()
        adamw.step()

    matrices = {id(p) for p in hidden_matrices(ours)}
    assert all(torch.equal(a, b) == (id(a) not in matrices) for a, b in pairs)


def test_the_direct_step_has_its_bits() -> None:
    """The way without Python around AdamW's kernel gives the same weights and state."""
    expected, actual = wide_net(), wide_net()
    one, other = (make_optimizer("shampoo", net, lr=0.01) for net in (expected, actual))
    step = fused_step(other)
    train(expected, one.step, 1)
    train(actual, step, 1)  # the first step makes the state, by `other.step`
    other.step = None  # a call of it would fail
    wanted, got = train(expected, one.step), train(actual, step)

    assert all(torch.equal(a, b) for a, b in zip(wanted, got, strict=True))


def test_a_restored_one_goes_on_alike() -> None:
    """State saved between two renewals of the root gives the same bits at the end; all is needed."""
    net = wide_net()
    optimizer = make_optimizer("shampoo", net, lr=0.01)
    train(net, optimizer.step, 7)
    saved, state = copy.deepcopy(net), copy.deepcopy(optimizer.state_dict())
    wanted = train(net, optimizer.step, 9)

    def gone_on(state: dict) -> bool:
        resumed = copy.deepcopy(saved)
        again = make_optimizer("shampoo", resumed, lr=0.01)
        again.load_state_dict(copy.deepcopy(state))
        got = train(resumed, again.step, 9)
        return all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))

    assert gone_on(state)
    for key in ("step", "momentum", "covariance", "root", "exp_avg", "exp_avg_sq"):
        broken = copy.deepcopy(state)
        for one in broken["state"].values():
            if key in one:
                one[key].zero_()
        assert not gone_on(broken), key


def test_a_closure_is_called_with_gradients() -> None:
    """As torch's optimizers do, it computes the loss that it is given, and returns it."""
    weight = nn.Parameter(torch.eye(3))
    optimizer = shampoo(weight)

    def closure() -> float:
        loss = weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 3.0
    assert not torch.equal(weight, torch.eye(3))


def test_a_vector_is_no_matrix() -> None:
    """A parameter without two sides is refused where matrices are asked for."""
    with pytest.raises(ValueError, match=r"two dimensions; got \(3,\)"):
        shampoo(nn.Parameter(torch.ones(3)))
