import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from afina.models import MLP, ModelSettings
from afina.nn import Block


def mlp(d_in: int, d_out: int, **settings: object) -> MLP:
    """Build an MLP without dropout, unless asked for."""
    return MLP(d_in, d_out, ModelSettings(**{"dropout": 0.0} | settings))


def test_the_formula(generator: torch.Generator) -> None:
    """A plain MLP is act(W x + b) from block to block and a linear output."""
    net = mlp(3, 2, n_blocks=2, d_block=5, activation="gelu").double()
    x = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    h = x
    for block in net.blocks:
        linear = block.steps.get_submodule("linear")
        h = functional.gelu(h @ linear.weight.T + linear.bias)

    wanted = h @ net.output.weight.T + net.output.bias

    torch.testing.assert_close(net(x), wanted, rtol=1e-12, atol=1e-12)


def test_no_blocks_is_linear(generator: torch.Generator) -> None:
    """Without blocks the net is one linear layer, residual or not."""
    for residual in (False, True):
        net = mlp(3, 2, n_blocks=0, residual=residual)
        x = torch.randn(4, 3, generator=generator)

        assert [tuple(p.shape) for p in net.parameters()] == [(2, 3), (2,)]
        assert torch.equal(net(x), net.output(x))


def test_the_residual_form_projects_first() -> None:
    """Residual blocks keep their width, after a linear projection from the input's."""
    net = mlp(3, 2, n_blocks=2, d_block=5, residual=True)

    assert isinstance(net.first, nn.Linear)
    assert net.first.weight.shape == (5, 3)
    assert all(isinstance(block, Block) and block.residual for block in net.blocks)
    for block in net.blocks:  # blocks that add nothing leave the projection as it is
        nn.init.zeros_(block.steps.get_submodule("linear").weight)
        nn.init.zeros_(block.steps.get_submodule("linear").bias)
    x = torch.ones(4, 3)
    assert torch.equal(net(x), net.output(net.first(x)))


@pytest.mark.parametrize("norm", [None, "batch", "layer", "rms"])
@pytest.mark.parametrize("place", ["pre", "post", "after"])
@pytest.mark.parametrize("residual", [False, True])
def test_every_form_can_be_traced(norm: str, place: str, residual: bool) -> None:
    """Every combination has no control flow over data, trains, and gives finite outputs."""
    net = mlp(
        4, 3, n_blocks=2, d_block=8, norm=norm, norm_place=place, residual=residual, dropout=0.1
    )
    x = torch.randn(6, 4)

    net(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    net.eval()
    assert torch.equal(fx.symbolic_trace(net)(x), net(x))


def test_settings_reach_the_blocks() -> None:
    """Momentum, eps and dropout arrive where they act."""
    net = mlp(4, 3, n_blocks=1, norm="batch", norm_momentum=0.3, norm_eps=1e-3, dropout=0.4)
    norm = net.blocks[0].steps.get_submodule("norm")
    dropout = net.blocks[0].steps.get_submodule("dropout")

    assert (norm.momentum, norm.eps, dropout.p) == (0.3, 1e-3, 0.4)


def test_what_cannot_be_is_refused() -> None:
    """A width that cannot be is named, and so is a setting that is not resolved."""
    with pytest.raises(ValueError, match="d_in, d_out must be at least 1; got d_in=0"):
        mlp(0, 1)
    with pytest.raises(TypeError, match="must be resolved before it is used; got 'auto'"):
        mlp(1, 1, dropout="auto")
