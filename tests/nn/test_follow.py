import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from afina.nn import Block
from afina.nn.follow import find_layers, find_residual_ends, follow_layers, trace


def followed(module: nn.Module) -> dict[str, str]:
    """Return what follows each layer, by the layer's name."""
    return {one.name: one.follows for one in follow_layers(module, trace(module))}


class Called(nn.Module):
    """A net whose activations are calls, registered in another order than they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 1)
        self.gate = nn.Linear(4, 4)
        self.body = nn.Linear(3, 4)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor, scale: float = 2.0) -> Tensor:
        h = functional.gelu(self.body(x) * scale)
        h = h + torch.tanh(self.gate(h).flatten(1))
        return self.head(h).squeeze(1)


class Branching(nn.Module):
    """A net that cannot be traced, because it looks at values."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.act = nn.Tanh()
        self.projection = nn.Linear(4, 4)
        self.last = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = -x
        return self.last(self.projection(self.act(self.norm(self.first(x)))))


class OwnNorm(nn.Module):
    """A norm that torch does not know, with a forward that cannot be traced."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(d))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale if x.mean() > 0 else x


class OwnActivation(nn.Module):
    """An activation that torch does not know, made of one that it does."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x).square()


def test_through_norms_and_dropout() -> None:
    """What follows is found through every norm, dropout, pooling and reshape."""
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.Dropout2d(0.1),
        nn.SiLU(),
        nn.Conv2d(4, 4, 3),
        nn.GroupNorm(2, 4),
        nn.AvgPool2d(2),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(16, 8),
        OwnNorm(8),
        nn.AlphaDropout(0.1),
        nn.SELU(),
        nn.Linear(8, 8),
        OwnActivation(),
        nn.Linear(8, 8),
        nn.Linear(8, 2),
    )

    assert followed(net) == {
        "0": "silu",
        "4": "leaky_relu",
        "9": "selu",
        "13": "relu",
        "15": "none",
        "16": "output",
    }
    assert follow_layers(net, trace(net))[1].negative_slope == 0.2


def test_calls_in_forward() -> None:
    """Activations that are called as functions or methods are found, whatever the registration."""
    assert followed(Called()) == {
        "head": "output",
        "gate": "tanh",
        "body": "gelu",
        "unused": "none",
    }


class Optional(nn.Module):
    """A net that goes another way where an argument is given that may be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.other = nn.Linear(3, 4), nn.Linear(4, 1)
        self.last = nn.Linear(4, 1)

    def forward(
        self, x: Tensor, folds: Tensor | None = None, *, mask: Tensor | None = None
    ) -> Tensor:
        h = torch.tanh(self.body(x)) if mask is None else self.body(x * mask)
        return self.last(h) if folds is None else self.other(h[folds])


def test_what_may_be_left_out_is() -> None:
    """A net is traced the way that it goes without its optional arguments."""
    net = Optional()
    found = follow_layers(net, trace(net))

    assert trace(net) is not None
    assert {one.found for one in found} == {"trace"}
    assert followed(net) == {"body": "tanh", "last": "output", "other": "none"}


def test_order_stands_in_where_tracing_fails() -> None:
    """A net with control flow goes by the order of registration, and says so."""
    net = Branching()
    found = follow_layers(net, trace(net))

    assert trace(net) is None
    assert [(one.name, one.follows, one.found) for one in found] == [
        ("first", "tanh", "order"),
        ("projection", "none", "order"),
        ("last", "output", "order"),
    ]


@pytest.mark.parametrize("place", ["pre", "post", "after"])
@pytest.mark.parametrize("norm", [None, "batch", "layer", "rms"])
def test_blocks_are_traced(place: str, norm: str) -> None:
    """In afina's own blocks the activation is found wherever the norm stands."""
    net = nn.Sequential(
        Block(3, 4, activation="tanh", norm=norm, norm_place=place, dropout=0.1),
        Block(4, 4, activation="mish", norm=norm, norm_place=place, residual=True),
        nn.Linear(4, 1),
    )

    assert list(followed(net).values()) == ["tanh", "mish", "output"]


@pytest.mark.parametrize(
    ("norm", "place", "end"),
    [
        (None, "post", "linear"),
        ("layer", "pre", "linear"),
        ("batch", "post", "norm"),
        ("rms", "after", "norm"),
    ],
)
def test_residual_ends(norm: str, place: str, end: str) -> None:
    """A branch ends with the last layer or norm that sets the scale of what is added."""
    net = nn.Sequential(
        nn.Linear(3, 4),
        *(Block(4, 4, norm=norm, norm_place=place, residual=True, dropout=0.1) for _ in range(3)),
    )
    ends = find_residual_ends(net, trace(net))

    expected = [net.get_submodule(f"{i}.steps.{end}") for i in (1, 2, 3)]
    assert list(ends) == expected


def test_an_add_of_two_branches_is_no_residual() -> None:
    """Only what is added to its own input is a residual branch."""

    class TwoTowers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.left(x) + self.right(x)

    assert find_residual_ends(TwoTowers(), trace(TwoTowers())) == ()
    assert find_residual_ends(Branching(), None) == ()


def test_torchs_composite_modules_are_left_out() -> None:
    """Layers inside of attention or transformer modules are torch's own business."""
    net = nn.ModuleDict(
        {
            "attention": nn.MultiheadAttention(4, 2),
            "encoder": nn.TransformerEncoderLayer(4, 2),
            "mine": nn.ModuleList([nn.Linear(4, 4)]),
        }
    )

    assert [name for name, _ in find_layers(net)] == ["mine.0"]


def test_a_layer_alone_is_the_output() -> None:
    """A linear layer by itself is the output layer."""
    assert followed(nn.Linear(2, 3)) == {"": "output"}


def test_trained_activations_and_quick_dropout_are_seen() -> None:
    """A parametric activation counts as its activation, and quick dropout passes."""
    net = nn.Sequential(
        Block(3, 4, activation="mish", parametric=True, dropout=0.2, quick=True), nn.Linear(4, 1)
    )

    assert trace(net) is not None
    assert list(followed(net).values()) == ["mish", "output"]
