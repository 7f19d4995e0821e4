import itertools
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from afina.nn import (
    Block,
    CategoryEmbedding,
    Scheme,
    StackedLinear,
    initialize_,
    weight_std,
)

DEPTH = 30


def close_std(std: float, weight: Tensor) -> object:
    """Compare with a deviation, to six standard errors of that of so many normal numbers."""
    return pytest.approx(std, rel=6 / (2 * weight.numel()) ** 0.5)


def deep_mlp(
    activation: str,
    *,
    d_in: int = 64,
    d_block: int = 128,
    norm: str | None = None,
    norm_place: str = "post",
    residual: bool = False,
) -> nn.Sequential:
    """Make a net of thirty blocks and an output layer."""
    first = [nn.Linear(d_in, d_block)] if residual else []
    widths = [d_block if residual else d_in] + [d_block] * DEPTH
    blocks = [
        Block(a, b, activation=activation, norm=norm, norm_place=norm_place, residual=residual)
        for a, b in itertools.pairwise(widths)
    ]
    return nn.Sequential(*first, *blocks, nn.Linear(d_block, 3))


@torch.no_grad()
def stds(net: nn.Sequential, generator: torch.Generator, d_in: int = 64) -> list[float]:
    """Measure the std of the activations behind each part of the net on unit-normal input."""
    x = torch.randn(512, d_in, generator=generator)
    found = []
    for part in net:
        x = part(x)
        found.append(x.std().item())
    return found


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "mish", "selu", "tanh"])
@pytest.mark.parametrize("d_block", [64, 256])
def test_auto_keeps_the_scale_at_every_depth(activation: str, d_block: int, seed: int) -> None:
    """Through 30 layers the std of the activations stays in [0.5, 2], outputs start near 0."""
    generator = torch.Generator().manual_seed(seed)
    net = deep_mlp(activation, d_block=d_block)

    initialize_(net, "auto", generator=generator)

    *hidden, outputs = stds(net, generator)
    assert min(hidden) >= 0.5
    assert max(hidden) <= 2.0
    assert outputs <= 0.3


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
def test_torchs_default_collapses(activation: str, generator: torch.Generator) -> None:
    """The same nets under torch's default fail that: the check is able to see a bad one."""
    net = deep_mlp(activation)

    initialize_(net, "torch", generator=generator)

    assert stds(net, generator)[DEPTH - 1] < 0.1


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize(
    ("norm", "place"), [(None, "post"), ("batch", "post"), ("layer", "pre"), ("rms", "after")]
)
def test_residual_nets_stay_bounded(
    activation: str, norm: str, place: str, generator: torch.Generator
) -> None:
    """Thirty residual blocks neither blow up nor fade, with and without norms."""
    net = deep_mlp(activation, norm=norm, norm_place=place, residual=True)

    initialize_(net, "auto", generator=generator)

    *hidden, outputs = stds(net, generator)
    assert min(hidden) >= 0.5
    assert max(hidden) <= 2.0
    assert outputs <= 0.3


def test_residual_nets_blow_up_without_the_share(generator: torch.Generator) -> None:
    """Kaiming alone lets the sum of thirty branches explode: the bound is able to fail."""
    net = deep_mlp("relu", residual=True)

    initialize_(net, "kaiming_normal", generator=generator)

    assert stds(net, generator)[DEPTH] > 1e3


@pytest.mark.parametrize(
    ("activation", "scheme", "gain"),
    [
        ("relu", "kaiming_normal", 2.0**0.5),
        ("gelu", "kaiming_normal", 1.468),
        ("tanh", "xavier_normal", 5 / 3),
        ("sigmoid", "xavier_normal", 1.0),
        ("selu", "lecun_normal", 1.0),
    ],
)
def test_auto_matches_the_scheme_to_what_follows(
    activation: str, scheme: str, gain: float, generator: torch.Generator
) -> None:
    """Each activation gets its scheme and gain; the weights have the std that the record states."""
    net = nn.Sequential(
        Block(200, 300, activation=activation, norm="layer", dropout=0.2),
        nn.Linear(300, 100),
    )
    hidden, output = initialize_(net, "auto", generator=generator)

    assert (hidden.follows, hidden.scheme) == (activation, scheme)
    assert hidden.gain == pytest.approx(gain, abs=1e-4)
    assert hidden.std == pytest.approx(weight_std(scheme, 200, 300, gain=hidden.gain))
    weight = net[0].steps.get_submodule("linear").weight
    assert weight.std().item() == close_std(hidden.std, weight)
    assert (output.follows, output.scheme, output.gain) == ("output", "lecun_normal", 0.1)
    assert net[1].weight.std().item() == close_std(0.1 * 300**-0.5, net[1].weight)


def test_convolutions_count_their_kernel(generator: torch.Generator) -> None:
    """Fans of convolutions include the kernel, transposed ones are turned around."""
    net = nn.Sequential(
        nn.Conv2d(8, 16, 3), nn.ReLU(), nn.ConvTranspose2d(16, 4, 2), nn.ReLU(), nn.Conv2d(4, 1, 1)
    )
    found = initialize_(net, "auto", generator=generator)

    assert [(one.fan_in, one.fan_out) for one in found] == [(72, 144), (64, 16), (4, 1)]
    assert net[0].weight.std().item() == close_std((2 / 72) ** 0.5, net[0].weight)
    assert net[2].weight.std().item() == close_std((2 / 64) ** 0.5, net[2].weight)


@pytest.mark.parametrize("scheme", ["auto", "xavier_uniform", "kaiming_normal", "torch", "ones"])
def test_init_is_a_function_of_the_generator(scheme: str) -> None:
    """The same seed gives the same weights, and torch's global random state is not touched."""
    nets = [
        nn.Sequential(
            nn.Linear(5, 8), nn.Dropout(0.5), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 2)
        )
        for _ in range(2)
    ]
    torch.manual_seed(7)
    before = torch.get_rng_state()
    for net in nets:
        initialize_(net, scheme, generator=torch.Generator().manual_seed(3))

    assert torch.equal(before, torch.get_rng_state())
    for ours, theirs in zip(
        nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_nothing_but_weights_changes(generator: torch.Generator) -> None:
    """Modes, running statistics and norms stay as they were; biases are 0."""
    net = nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2)
    )
    net[3].eval()
    initialize_(net, "auto", generator=generator)

    assert [part.training for part in net] == [True, True, True, False, True]
    assert net[1].get_buffer("running_mean").tolist() == [0.0] * 8
    assert net[1].get_buffer("num_batches_tracked").item() == 0
    assert net[1].weight.tolist() == [1.0] * 8
    assert not net[0].bias.any()
    assert not net[0]._forward_hooks


def test_explicit_schemes_are_torchs_defaults(generator: torch.Generator) -> None:
    """A named scheme is applied to every layer alike; `torch` draws biases too."""
    net = nn.Sequential(nn.Linear(50, 80), nn.Tanh(), nn.Linear(80, 1))

    assert [one.gain for one in initialize_(net, "kaiming_normal")] == [2.0**0.5] * 2
    assert [one.gain for one in initialize_(net, "xavier_normal")] == [1.0] * 2
    initialize_(net, "constant", constant=0.25)
    assert net[0].weight.unique().tolist() == [0.25]
    initialize_(net, "torch", generator=generator)
    assert 0 < net[0].bias.abs().max().item() <= 50**-0.5


def test_a_sample_evens_out_what_comes_in(generator: torch.Generator) -> None:
    """Columns that are mostly 0 make a small first layer; a sample of real rows corrects it."""
    net = nn.Sequential(nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 1))
    sparse = (torch.rand(256, 100, generator=generator) < 0.02).float()

    first, _ = initialize_(net, "auto", generator=generator, sample=(sparse,))

    assert net[0](sparse).square().mean().sqrt().item() == pytest.approx(2.0**0.5, rel=1e-3)
    assert first.std > 5 * weight_std("kaiming_normal", 100, 64, gain=2.0**0.5)
    assert net[0].weight.std().item() == close_std(first.std, net[0].weight)


class Untraceable(nn.Module):
    """A net that cannot be traced, because it looks at values."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        self.embedding = CategoryEmbedding([5], [False], 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x if x.sum() > 0 else -x)


def test_untraceable_nets_say_so(generator: torch.Generator) -> None:
    """A net that cannot be traced is initialized by the order of its modules, and says so."""
    found = initialize_(Untraceable(), "auto", generator=generator)

    assert [(one.follows, one.scheme, one.found) for one in found] == [
        ("tanh", "xavier_normal", "order"),
        ("output", "lecun_normal", "order"),
    ]
    assert [one.layer for one in found] == ["layers.0", "layers.2"]


def test_parametrized_and_tied_layers(generator: torch.Generator) -> None:
    """A computed weight is left alone, and a layer that is used twice is drawn once."""
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    before = normed.weight.clone()
    tied = nn.Linear(4, 4)
    net = nn.Sequential(normed, nn.ReLU(), tied, nn.ReLU(), tied, nn.ReLU(), nn.Linear(4, 1))

    found = initialize_(net, "auto", generator=generator)

    assert torch.equal(before, normed.weight)
    assert [one.layer for one in found] == ["2", "6"]


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_each_scheme_reaches_the_layers_of_a_stack(scheme: str, generator: torch.Generator) -> None:
    """Each network of a stack starts as a layer alone does by the scheme, biases too."""
    stack = StackedLinear(3, 120, 200, follows="relu")
    layer = nn.Linear(120, 200)
    initialize_(nn.Sequential(stack), scheme, constant=0.25, generator=generator)
    record = initialize_(layer, scheme, constant=0.25, generator=generator)[0]

    assert len(stack.weight[:, 0, 0].unique()) == (1 if record.std == 0 else 3)
    # Bounds of six standard errors. The largest of 24,000 numbers is at 4 deviations, seldom at 6,
    # where they are normal, and at 1.7 where they are even; that of 200 even ones falls short of
    # their bound by a tenth once in a thousand million times.
    error = 6 * (2 / 24_000) ** 0.5  # of a difference of two means, in deviations
    for own, bias in zip(stack.weight.detach(), stack.bias.detach(), strict=True):
        alone = layer.weight.detach()
        assert own.mean().item() == pytest.approx(alone.mean().item(), abs=error * record.std)
        assert own.std().item() == pytest.approx(record.std, rel=6 / 48_000**0.5, abs=1e-6)
        assert own.abs().max().item() == pytest.approx(alone.abs().max().item(), rel=0.5)
        bound = layer.bias.detach().abs().max().item()
        assert bias.abs().max().item() == pytest.approx(bound, rel=0.1)


@pytest.mark.parametrize(
    ("follows", "gain"),
    [("relu", 2.0**0.5), ("gelu", 1.468), ("selu", 1.0), ("output", 0.1), ("none", 1.0)],
)
def test_auto_matches_a_stack_to_what_follows(
    follows: str, gain: float, generator: torch.Generator
) -> None:
    """By `auto` each network has the gain of what follows over the root of its fan-in."""
    stack = StackedLinear(4, 150, 200, follows=follows)
    initialize_(nn.Sequential(stack), "auto", generator=generator)

    assert not stack.bias.any()
    for own in stack.weight.detach():
        assert own.std().item() == close_std(gain / 150**0.5, own)


@pytest.mark.parametrize("follows", ["tanh", "sigmoid"])
def test_auto_goes_by_both_fans_of_a_stack(follows: str, generator: torch.Generator) -> None:
    """Before tanh and sigmoid each network of a stack starts by Xavier's formula."""
    stack = StackedLinear(2, 100, 300, follows=follows)
    initialize_(nn.Sequential(stack), "auto", generator=generator)
    gain = 5 / 3 if follows == "tanh" else 1.0

    for own in stack.weight.detach():
        assert own.std().item() == close_std(gain * (2 / 400) ** 0.5, own)


def test_what_cannot_be_is_refused() -> None:
    """An unknown scheme is named, and a lazy layer asks for a batch."""
    with pytest.raises(ValueError, match=r"scheme must be one of auto, zeros, .* scheme='he'"):
        initialize_(nn.Linear(2, 2), "he")
    with pytest.raises(ValueError, match=r"'0' is lazy. Run one batch"):
        initialize_(nn.Sequential(nn.LazyLinear(2)), "auto")
