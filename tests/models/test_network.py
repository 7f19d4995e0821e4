from typing import get_args

import pytest
import torch
from torch import Tensor

from afina.models import ModelSettings, NetworkShape, TabularNet
from afina.models import make_network as make_net
from afina.nn import Scheme
from afina.optim import decay_groups
from afina.preprocess import PreprocessSettings

ENCODINGS = [("onehot", 5, True), ("ordinal", 4, False), ("embedding", 40, True)]


def make_network(
    n_num: int,
    cat_encodings: list[tuple[str, int, bool]],
    d_out: int,
    generator: torch.Generator,
    *,
    unknown_rate: float = 0.0,
    scaling: str | None = None,
    **settings: object,
) -> TabularNet:
    """Build a plain network of one member, unless something else is asked for."""
    encodings, levels, missing = zip(*cat_encodings, strict=True) if cat_encodings else ((),) * 3
    plain = {"members": 1, "n_blocks": 3, "d_block": 256, "dropout": 0.0, "init": "auto"}
    return make_net(
        NetworkShape(n_num=n_num, encodings=encodings, has_missing=missing, d_out=d_out),
        levels,
        model=ModelSettings(**plain | {"numeric_embedding": None} | settings),
        preprocess=PreprocessSettings(unknown_rate=unknown_rate, scaling=scaling),
        generator=generator,
    )


def inputs(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Make numbers and codes, unknown ones and some out of range among them."""
    x_cat = torch.randint(0, 8, (n, len(ENCODINGS)), generator=generator)
    return torch.randn(n, 3, generator=generator), x_cat


def same_state(left: TabularNet, right: TabularNet) -> bool:
    """Tell if two nets hold the same bits."""
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("init", ["auto", *get_args(Scheme)])
def test_weights_are_a_function_of_the_seed(init: str) -> None:
    """The same seed gives the same net, and torch's global random state is not touched."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    nets = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(9)
        nets.append(
            make_network(
                n_num=3,
                cat_encodings=ENCODINGS,
                d_out=2,
                d_block=16,
                dropout=0.1,
                unknown_rate=0.1,
                norm="batch",
                init=init,
                generator=generator,
            )
        )
        torch.rand(3)  # what else is drawn in between does not matter
        torch.set_rng_state(before)

    assert same_state(*nets)
    assert torch.equal(before, torch.get_rng_state())


def test_another_seed_gives_another_net() -> None:
    """The generator is really the source of the weights, of embeddings too."""
    nets = [
        make_network(
            n_num=3,
            cat_encodings=ENCODINGS,
            d_out=1,
            d_block=8,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (1, 2)
    ]
    differing = [
        name
        for (name, a), b in zip(
            nets[0].state_dict().items(), nets[1].state_dict().values(), strict=True
        )
        if not torch.equal(a, b)
    ]

    assert len([name for name in differing if name.endswith("weight")]) == 5


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
@pytest.mark.parametrize("norm", [None, "batch", "layer", "rms"])
@pytest.mark.parametrize("residual", [False, True])
def test_outputs_start_near_zero(
    activation: str, norm: str, residual: bool, generator: torch.Generator
) -> None:
    """On scaled tables of any width a fresh net's outputs are small, and not 0."""
    wide = [("onehot", 10, False)] * 60
    for encodings in ([], ENCODINGS, wide):
        net = make_network(
            n_num=3,
            cat_encodings=encodings,
            d_out=10,
            activation=activation,
            norm=norm,
            residual=residual,
            generator=generator,
        ).eval()
        x_cat = torch.randint(2, 6, (500, len(encodings)), generator=generator)
        out = net(torch.randn(500, 3, generator=generator), x_cat)

        assert 0.005 < out.std().item() < 0.2


def test_one_hot_columns_do_not_drown_the_first_layer(generator: torch.Generator) -> None:
    """The first layer's outputs are as large with 600 one-hot columns as with none."""
    net = make_network(
        n_num=3, cat_encodings=[("onehot", 10, False)] * 60, d_out=1, generator=generator
    ).eval()
    x_cat = torch.randint(2, 12, (500, 60), generator=generator)
    first = net.body.blocks[0].steps.get_submodule("linear")

    hidden = first(net.input(torch.randn(500, 3, generator=generator), x_cat))

    assert hidden.square().mean().sqrt().item() == pytest.approx(2.0**0.5, rel=0.15)


def test_every_trainable_parameter_gets_a_gradient(generator: torch.Generator) -> None:
    """No parameter is left out of the forward pass, unknown's and missing's included."""
    net = make_network(
        n_num=3,
        cat_encodings=ENCODINGS,
        d_out=2,
        d_block=8,
        norm="layer",
        residual=True,
        scaling="batchnorm",
        generator=generator,
    )
    net(*inputs(64, generator)).square().sum().backward()

    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_only_matrices_decay(generator: torch.Generator) -> None:
    """In the whole net only weights of layers and tables of embeddings decay."""
    net = make_network(
        n_num=3,
        cat_encodings=ENCODINGS,
        d_out=2,
        n_blocks=1,
        norm="batch",
        scaling="batchnorm",
        generator=generator,
    )

    assert [one.name for one in decay_groups(net) if one.decays] == [
        "input.encoders.embedding.weight",
        "body.blocks.0.steps.linear.weight",
        "body.output.weight",
    ]


def test_a_row_alone_equals_the_row_in_a_batch(generator: torch.Generator) -> None:
    """In evaluation a row's output does not depend on its neighbors, with any norm, to 1e-12."""
    for norm in (None, "batch", "layer", "rms"):
        net = make_network(
            n_num=3, cat_encodings=ENCODINGS, d_out=2, norm=norm, generator=generator
        ).double()
        x_num, x_cat = inputs(64, generator)
        net(x_num, x_cat)
        net.eval()
        alone = torch.cat([net(x_num[i : i + 1], x_cat[i : i + 1]) for i in range(64)])

        torch.testing.assert_close(alone, net(x_num, x_cat), rtol=0, atol=1e-12)


def test_trivial_inits_reach_the_weights(generator: torch.Generator) -> None:
    """Zeros, ones and a constant can be asked for, and are what the weights then are."""
    for init, value in (("zeros", 0.0), ("ones", 1.0), ("constant", 0.2)):
        net = make_network(
            n_num=3, cat_encodings=[], d_out=2, init=init, init_constant=0.2, generator=generator
        )
        weights = [one.parameter for one in decay_groups(net) if one.decays]
        assert all(p.unique().tolist() == [torch.tensor(value).item()] for p in weights)


def test_a_tiny_table_is_learned() -> None:
    """Gradient steps fit a rule that needs a number and a category together."""
    generator = torch.Generator().manual_seed(0)
    net = make_network(
        n_num=1,
        cat_encodings=[("embedding", 4, False)],
        d_out=1,
        n_blocks=2,
        d_block=32,
        generator=generator,
    )
    x_num = torch.randn(256, 1, generator=generator)
    x_cat = torch.randint(2, 6, (256, 1), generator=generator)
    y = x_num * (x_cat.float() - 3.5)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        loss = (net(x_num, x_cat) - y).square().mean()
        loss.backward()
        optimizer.step()

    assert loss.item() < 0.02 * y.square().mean().item()
