from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from afina.models import Members, ModelSettings, NetworkShape, TabularNet, make_members
from afina.models import make_network as make_net
from afina.nn import MemberLinear, ParametricActivation, QuickDropout
from afina.preprocess import PreprocessSettings

DIFFER = ["input", "linear", "block", "layers"]


def make(d_in: int, d_out: int, differ: str, members: int, **settings: object) -> Members:
    """Build members without dropout that start as signs, unless something else is asked for."""
    plain = {"dropout": 0.0, "member_start": "signs"}
    return make_members(
        d_in, d_out, ModelSettings(members=members, members_differ=differ, **plain | settings)
    )


def wild(module: nn.Module, seed: int = 0) -> nn.Module:
    """Return all parameters values of their own, in float64."""
    generator = torch.Generator().manual_seed(seed)
    module.double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7, generator=generator)
    return module


def as_one(step: nn.Module, x: Tensor, j: int) -> Tensor:
    """Run rows of member j alone through a step, by the formulas and no layer for members."""
    match step:
        case MemberLinear():
            r = 1.0 if step.scale_in is None else step.scale_in[j]
            out = functional.linear(x * r, step.shared.weight) * step.scale_out[j]
            return out if step.bias is None else out + step.bias[j]
        case ParametricActivation():
            return x + step.share * (step.activation(x) - x)
        case nn.Sequential():
            for part in step:
                x = as_one(part, x, j)
            return x
        case _ if hasattr(step, "steps"):
            out = as_one(step.steps, x, j)
            return x + out if step.residual else out
    return step(x)


def member_alone(net: Members, x: Tensor, j: int) -> Tensor:
    """Compute one member as the plain network that it is."""
    hidden = as_one(net.before, x, j) * net.part.scale[j]
    if net.part.bias is not None:
        hidden = hidden + net.part.bias[j]
    hidden = as_one(net.after, hidden, j)
    return functional.linear(hidden, net.heads.weight[j], net.heads.bias[j])


@pytest.mark.parametrize("differ", DIFFER)
@pytest.mark.parametrize("d_out", [1, 3])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("n_blocks", [0, 1, 3])
def test_members_are_networks(differ: str, d_out: int, residual: bool, n_blocks: int) -> None:
    """Each member's outputs are those of a plain network, and eval is their mean, to 1e-12."""
    net = make(
        4,
        d_out,
        differ,
        3,
        n_blocks=n_blocks,
        d_block=5,
        activation="mish",
        norm="layer",
        residual=residual,
        parametric_activation=True,
    )
    wild(net)
    x = torch.randn(7, 4, dtype=torch.float64)
    own = torch.stack([member_alone(net, x, j) for j in range(3)], dim=1)

    torch.testing.assert_close(net(x), own, rtol=1e-12, atol=1e-12)
    if d_out > 1:
        torch.testing.assert_close(net.eval()(x).exp(), own.softmax(2).mean(1), rtol=1e-12, atol=0)
    else:
        torch.testing.assert_close(net.eval()(x), own.mean(1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("differ", DIFFER)
@pytest.mark.parametrize("norm", [None, "batch", "layer"])
def test_a_row_alone_equals_the_row_in_a_batch(differ: str, norm: str) -> None:
    """In evaluation a row's output does not depend on its neighbors."""
    net = make(3, 2, differ, 4, n_blocks=2, d_block=6, norm=norm, dropout=0.3).double()
    x = torch.randn(20, 3, dtype=torch.float64)
    net(x)
    net.eval()

    torch.testing.assert_close(torch.cat([net(row[None]) for row in x]), net(x), rtol=1e-12, atol=0)


@pytest.mark.parametrize("differ", DIFFER)
def test_members_drop_units_of_their_own(differ: str) -> None:
    """Dropout is drawn for each member, also behind a shared block; members of one row differ."""
    net = make(3, 1, differ, 30, n_blocks=1, d_block=64, dropout=0.5)
    with torch.no_grad():  # but for dropout the members are now one and the same
        net.part.scale.fill_(1.0)
        net.heads.weight.copy_(net.heads.weight[:1].expand_as(net.heads.weight))
        net.heads.bias.zero_()
    out = net(torch.randn(1, 3))

    assert sum(isinstance(part, QuickDropout) for part in net.modules()) == 1
    assert len(out.unique()) > 10


def note_rows(seen: list[int], _layer: nn.Module, inputs: tuple[Tensor], _out: Tensor) -> None:
    """Note how many rows went through a layer."""
    seen.append(len(inputs[0]))


def test_a_shared_block_runs_on_the_rows_alone() -> None:
    """What is shared before the parting sees n rows and not n * k."""
    for differ, wanted in (("linear", [6, 24]), ("block", [6, 24]), ("input", [24, 24])):
        net = make(3, 1, differ, 4, n_blocks=2, d_block=8)
        seen: list[int] = []
        for part in net.modules():
            if isinstance(part, nn.Linear):
                part.register_forward_hook(partial(note_rows, seen))
        net(torch.randn(6, 3))
        assert seen == wanted


def full_net(
    differ: str, generator: torch.Generator, *, unknown_rate: float = 0.0, **others: object
) -> TabularNet:
    settings = {
        "n_blocks": 2,
        "d_block": 16,
        "dropout": 0.0,
        "d_numeric": 4,
        "feature_scale": True,
        "parametric_activation": True,
        "members": 5,
        "members_differ": differ,
        "member_start": "normal",
        "init": "auto",
    }
    return make_net(
        NetworkShape(
            n_num=3,
            encodings=("onehot", "ordinal", "embedding"),
            has_missing=(True, False, True),
            embedded=(0, 2),
            n_bins=(2, 3),
            d_out=2,
        ),
        (5, 4, 40),
        model=ModelSettings(**settings | others),
        preprocess=PreprocessSettings(unknown_rate=unknown_rate),
        generator=generator,
    )


@pytest.mark.parametrize("differ", DIFFER)
@pytest.mark.parametrize("init", ["auto", "torch", "kaiming_normal"])
def test_weights_are_a_function_of_the_seed(differ: str, init: str) -> None:
    """The same seed gives the same net, another one another, and members start apart."""
    nets = [full_net(differ, torch.Generator().manual_seed(s), init=init) for s in (1, 1, 2)]
    states = [net.state_dict() for net in nets]
    x = torch.randn(4, 3), torch.randint(0, 6, (4, 3))

    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
    drawn = [
        name
        for name in states[0]
        if name.endswith(("part.scale", "heads.weight", "linear_weight", "shared.weight"))
    ]
    assert len(drawn) >= 3
    assert not any(torch.equal(states[0][name], states[2][name]) for name in drawn)
    assert (nets[0](*x).std(dim=1) > 1e-3).all()


@pytest.mark.parametrize("differ", DIFFER)
def test_every_trainable_parameter_gets_a_gradient(differ: str, generator: torch.Generator) -> None:
    """No parameter is left out of the forward pass, but for bins that a column does not have."""
    net = full_net(differ, generator, norm="layer", residual=True, unknown_rate=0.2)
    net.set_edges_([torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([-1.0, 0.0, 0.5, 1.0])])
    x = torch.randn(64, 3, generator=generator), torch.randint(0, 8, (64, 3), generator=generator)
    torch.manual_seed(0)
    net(*x).square().sum().backward()

    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_chunks_are_the_columns(generator: torch.Generator) -> None:
    """Outputs of one column have one first factor a member, and no two columns share one."""
    net = full_net("input", generator)
    chunks = torch.tensor(net.input.chunks)
    scale = net.body.part.scale.detach()

    assert chunks.tolist() == [1] + [0] * 4 + [2] * 4 + [3] * 6 + [4] * 2 + [5] * 8
    assert net.input.d_out == len(chunks) == scale.shape[1]
    for chunk in range(6):
        assert len(scale[0, chunks == chunk].unique()) == 1
    assert len(scale.unique()) == 5 * 6


def test_edges_need_embedded_numbers(generator: torch.Generator) -> None:
    """A network without embedded numbers takes no edges."""
    net = make_net(
        NetworkShape(n_num=2),
        model=ModelSettings(members=1, n_blocks=0, dropout=0.0),
        preprocess=PreprocessSettings(),
        generator=generator,
    )

    with pytest.raises(TypeError, match="Edges need embedded numbers"):
        net.set_edges_([])


@pytest.mark.parametrize(
    "settings", [{"members_differ": "weights"}, {"member_start": "auto"}], ids=str
)
def test_what_cannot_be_is_refused(settings: dict[str, object]) -> None:
    """Members that share no weights, and a start that is not settled, are named."""
    plain = {"members_differ": "input", "member_start": "signs", "dropout": 0.0}
    with pytest.raises(
        ValueError, match="Members must share weights and have a resolved start; got"
    ):
        make_members(3, 1, ModelSettings(**plain | settings))
