"""Averages of weights and buffers."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from afina.optim import Average


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def course(n: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """States of a net that moves at random, running statistics and counters included."""
    generator = torch.Generator().manual_seed(seed)
    states = []
    for step in range(n):
        state = network().state_dict()
        states.append(
            {
                k: torch.randn(v.shape, generator=generator, dtype=v.dtype)
                if v.is_floating_point()
                else torch.full_like(v, step)
                for k, v in state.items()
            }
        )
    return states


@given(st.integers(1, 12), st.integers(0, 100))
def test_swa_is_the_mean_of_all_states(n: int, seed: int) -> None:
    """Equal-weight averages equal the mean, of weights and running statistics alike."""
    net, average, states = network(), Average("swa"), course(n, seed)
    for state in states:
        net.load_state_dict(state)
        average.update(net)

    for name, value in average.values.items():
        stacked = torch.stack([state[name] for state in states])
        expected = stacked.mean(0) if stacked.is_floating_point() else stacked[-1]
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)


def test_ema_follows_its_formula() -> None:
    """The exponential average equals its recurrence, with the early decay."""
    net, average, states = network(), Average("ema", decay=0.5), course(9)
    for state in states:
        net.load_state_dict(state)
        average.update(net)

    reference = states[0]["0.weight"].clone()
    for n, state in enumerate(states[1:], start=1):
        d = min(0.5, (1 + n) / (10 + n))
        reference = d * reference + (1 - d) * state["0.weight"]
    torch.testing.assert_close(average.values["0.weight"], reference, rtol=0, atol=1e-12)


def test_swapping_leaves_no_trace() -> None:
    """Inside, the model is the average; afterwards every tensor and object is what it was."""
    net, average = network(), Average("swa")
    for state in course(3):
        net.load_state_dict(state)
        average.update(net)
    before = copy.deepcopy(net.state_dict())
    parameters = list(net.parameters())
    mean = copy.deepcopy(average.values)

    with average.swapped_in(net):
        assert all(torch.equal(v, mean[k]) for k, v in net.state_dict().items())

    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(torch.equal(v, mean[k]) for k, v in average.values.items())
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))


def test_tied_weights_are_swapped_once() -> None:
    """A parameter with two names is averaged once and stays one parameter."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    average = Average("swa")
    for value in (0.0, 2.0):
        nn.init.constant_(net[0].weight, value)
        average.update(net)

    with average.swapped_in(net):
        assert net[0].weight[0, 0] == 1
        assert net[1].weight is net[0].weight
    assert net[1].weight[0, 0] == 2


def test_before_the_first_update_the_model_is_itself() -> None:
    """Swapping in an average of nothing changes nothing."""
    net = network()
    with Average("ema").swapped_in(net):
        assert len(net.state_dict()) == len(network().state_dict())


@pytest.mark.parametrize(("name", "decay"), [("mean", 0.9), ("ema", 1.0), ("ema", -0.1)])
def test_what_cannot_be_is_refused(name, decay) -> None:
    """Unknown averages and decays outside [0, 1) are errors."""
    with pytest.raises(ValueError, match=r"averaging must be one of ema, swa; got|must be in"):
        Average(name, decay=decay)
