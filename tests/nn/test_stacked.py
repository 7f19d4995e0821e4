from collections.abc import Callable

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from afina.nn import StackedLinear

sizes = st.integers(1, 6)


def wild(k: int, d_in: int, d_out: int, seed: int) -> StackedLinear:
    """Make a stack in float64, each weight and bias a number of its own."""
    stack = StackedLinear(k, d_in, d_out).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in stack.parameters():
        nn.init.normal_(parameter, generator=generator)
    return stack


def alone(stack: StackedLinear, j: int) -> nn.Linear:
    """Return network j of a stack as torch's own layer."""
    layer = nn.Linear(*stack.weight.shape[1:], dtype=stack.weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(stack.weight[j].T)
        layer.bias.copy_(stack.bias[j])
    return layer


def rows(n: int, d: int, seed: int, *k: int) -> Tensor:
    """Draw rows, the same ones for each network, or k times rows of their own."""
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.randn(*k, n, d, dtype=torch.float64, generator=generator)


@st.composite
def slices(draw: st.DrawFn) -> tuple[int, slice]:
    """Draw how many networks there are, and some of them, at least one."""
    k = draw(sizes)
    first = draw(st.integers(0, k - 1))
    return k, slice(first, draw(st.integers(first + 1, k)))


@given(slices(), st.integers(0, 5), sizes, sizes, st.integers(0, 2**31))
def test_each_network_is_a_layer_of_its_own(
    some: tuple[int, slice], n: int, d_in: int, d_out: int, seed: int
) -> None:
    """Rows for all and rows of one's own: each network equals nn.Linear alone, to 1e-12."""
    k, which = some
    stack = wild(k, d_in, d_out, seed)
    layers = [alone(stack, j) for j in range(k)]
    shared, own = rows(n, d_in, seed), rows(n, d_in, seed, k)
    close = {"rtol": 1e-12, "atol": 1e-12}

    assert stack(shared).shape == stack(own).shape == (k, n, d_out)
    for j, layer in enumerate(layers):
        torch.testing.assert_close(stack(shared)[j], layer(shared), **close)
        torch.testing.assert_close(stack(own)[j], layer(own[j]), **close)
    torch.testing.assert_close(stack(shared, which), stack(shared)[which], **close)
    torch.testing.assert_close(stack(own[which], which), stack(own)[which], **close)


@pytest.mark.parametrize("own_rows", [False, True])
def test_gradients_are_those_of_layers_alone(own_rows: bool) -> None:
    """Weights, biases and rows get the gradients that the layers alone give, to 1e-12."""
    stack = wild(3, 4, 5, 0)
    layers = [alone(stack, j) for j in range(3)]
    x = rows(7, 4, 0, *([3] if own_rows else [])).requires_grad_()
    again = x.detach().clone().requires_grad_()
    stack(x).square().sum().backward()
    outputs = [layer(again[j] if own_rows else again) for j, layer in enumerate(layers)]
    torch.stack(outputs).square().sum().backward()

    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(x.grad, again.grad, **close)
    for j, layer in enumerate(layers):
        torch.testing.assert_close(stack.weight.grad[j], layer.weight.grad.T, **close)
        torch.testing.assert_close(stack.bias.grad[j], layer.bias.grad, **close)


def test_a_network_left_out_gets_no_gradient() -> None:
    """Of a slice only the networks in it learn."""
    stack = wild(4, 2, 3, 0)
    stack(rows(5, 2, 0), slice(1, 3)).sum().backward()

    moved = stack.weight.grad.flatten(1).any(dim=1)
    assert moved.tolist() == [False, True, True, False]


def test_a_new_stack_starts_as_torchs_layers_do(generator: torch.Generator) -> None:
    """Weights and biases are uniform within one over the root of d_in, by the generator alone."""
    stack, again = StackedLinear(6, 25, 400), StackedLinear(6, 25, 400)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    stack.reset_parameters(generator)
    again.reset_parameters(torch.Generator().manual_seed(generator.initial_seed()))

    assert torch.equal(before, torch.get_rng_state())
    for name in ("weight", "bias"):
        drawn = stack.get_parameter(name).detach()
        assert torch.equal(drawn, again.get_parameter(name))
        assert 0.19 < drawn.abs().max().item() <= 0.2
        error = 6 * (0.2 / drawn.numel()) ** 0.5  # six standard errors of a uniform one's deviation
        assert drawn.std().item() == pytest.approx(0.2 / 3**0.5, rel=error)
        assert len(drawn.unique()) > 0.99 * drawn.numel()


def test_it_says_what_it_is() -> None:
    """Printed, a stack tells how many networks it holds, their sizes, and what follows."""
    assert "k=2, d_in=3, d_out=4, follows='relu'" in str(StackedLinear(2, 3, 4, follows="relu"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: StackedLinear(0, 1, 1),
        lambda: StackedLinear(1, 0, 1),
        lambda: StackedLinear(1, 1, 0),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], nn.Module]) -> None:
    """A size below 1 is named."""
    with pytest.raises(ValueError, match=r"at least 1; got k=\d, d_in=\d, d_out=\d"):
        make()
