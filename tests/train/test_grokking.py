"""Signs of late generalization are read correctly, and the model is not changed."""

import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from afina.models import MLP, ModelSettings
from afina.optim import make_optimizer
from afina.train.grokking import (
    decayed_weights,
    ends_in_norm,
    make_sign_reader,
    output_scale,
    weight_norm,
)
from afina.train.settings import StopSettings
from afina.train.stopping import Stopping


class OwnNorm(nn.Module):
    """A normalization that torch does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(8))

    def forward(self, x):
        return self.gain * x / x.square().mean(-1, keepdim=True).sqrt()


class Functions(nn.Module):
    """A normalization and a head that are called as functions."""

    def __init__(self, *, normed: bool) -> None:
        super().__init__()
        self.normed = normed
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(8, 8)) for _ in range(2)])

    def forward(self, x):
        h = x @ self.weights[0]
        h = F.layer_norm(h, (8,)) if self.normed else h
        return F.linear(F.relu(h), self.weights[1])


class Residual(nn.Module):
    """Branches with a normalization inside, added up, with another after the sum if `last_norm`."""

    def __init__(self, *, last_norm: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)) for _ in range(2)
        )
        self.last = nn.LayerNorm(8) if last_norm else nn.Identity()
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        for branch in self.branches:
            x = x + branch(x)
        return self.head(self.last(x))


class Untraceable(nn.Module):
    """A forward pass that depends on the values it sees."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x if x.sum() > 0 else -x)


class Keeping(nn.Module):
    """A forward pass that stores its result."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 3)
        self.seen = None

    def forward(self, x):
        self.seen = self.linear(x)
        return self.seen


def layers(*between: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 8), *between, nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (nn.Linear(8, 3), False),
        (layers(nn.ReLU()), False),
        (layers(nn.LayerNorm(8)), True),
        (layers(nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1)), True),
        (layers(nn.RMSNorm(8, elementwise_affine=False)), True),
        (layers(OwnNorm(), nn.GELU()), True),
        (nn.Sequential(nn.Linear(8, 3), nn.LayerNorm(3)), True),
        (layers(nn.LayerNorm(8), nn.Linear(8, 8), nn.ReLU()), False),
        (Functions(normed=True), True),
        (Functions(normed=False), False),
        (Residual(last_norm=True), True),
        (Residual(last_norm=False), False),
        (Untraceable(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 3)), True),
        (Untraceable(nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(8, 3)), False),
        (MLP(8, 3, ModelSettings(n_blocks=2, d_block=8, norm="layer", dropout=0.0)), True),
        (MLP(8, 3, ModelSettings(n_blocks=2, d_block=8, norm=None, dropout=0.0)), False),
    ],
    ids=lambda value: value if isinstance(value, bool) else type(value).__name__,
)
def test_ends_in_norm(model, expected) -> None:
    """Outputs are traced back to a normalization through at most one layer, on every path."""
    assert ends_in_norm(model) is expected


@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.RMSNorm(8), nn.Identity()])
def test_behind_a_norm_the_size_of_weights_means_nothing(norm, generator) -> None:
    """If a model ends in a norm, larger weights before it give the same outputs."""
    model = nn.Sequential(nn.Linear(8, 8, bias=False), norm, nn.ReLU(), nn.Linear(8, 3)).double()
    x = torch.randn(16, 8, generator=generator, dtype=torch.float64)
    before = model(x)
    with torch.no_grad():
        model[0].weight.mul_(7)

    assert ends_in_norm(model) is torch.allclose(before, model(x), rtol=1e-3, atol=1e-3)


def test_looking_leaves_no_trace() -> None:
    """A forward pass that stores its result stores none of the tracer's proxies.

    Seeded fault: tracing the model itself.
    """
    model = Keeping()
    ends_in_norm(model)

    assert model.seen is None


@pytest.mark.parametrize(
    ("name", "weight_decay", "expected"),
    [("adamw", 0.1, 2), ("adamw", 0.0, 0), ("sgd", 0.1, 2), ("sgd", 0.0, 0), ("adam", 0.0, 0)],
)
def test_decayed_weights(name, weight_decay, expected) -> None:
    """Decay is seen in afina's optimizers, decoupled or not."""
    model = layers(nn.LayerNorm(8))
    optimizer = make_optimizer(name, model, lr=0.1, weight_decay=weight_decay)

    assert len(decayed_weights(optimizer)) == expected


def test_decayed_weights_of_others() -> None:
    """Decay counts in any of torch's optimizers, and so does a penalty; each weight counts once."""
    model = layers()
    everything = list(model.parameters())
    own = torch.optim.SGD(everything, lr=0.1, weight_decay=1e-4)
    plain = torch.optim.SGD(everything, lr=0.1)

    assert len(decayed_weights(own, [model[0].weight])) == len(everything)
    assert decayed_weights(plain, [model[0].weight]) == [model[0].weight]
    assert decayed_weights(plain) == []


def test_weight_norm(generator) -> None:
    """The norm is that of all weights as one vector."""
    weights = [torch.randn(size, generator=generator) for size in ((3, 4), (5,), (2, 2, 2))]
    together = torch.cat([w.double().flatten() for w in weights])

    assert weight_norm(weights) == pytest.approx(together.norm().item(), rel=1e-6)


SHARDED = """
import os

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from afina.train.grokking import weight_norm

distributed.init_process_group("gloo")
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3))
whole = weight_norm(list(net.parameters()))
fully_shard(net, mesh=init_device_mesh("cpu", (2,)))
part = float(torch.linalg.vector_norm(net[0].weight.detach()))
told = [None, None]
distributed.all_gather_object(told, (weight_norm(list(net.parameters())), part))
assert all(abs(norm - whole) < 1e-5 for norm, _ in told), (told, whole)
assert told[0][1] != told[1][1], "seeded fault: each process takes its own part's norm"
distributed.barrier()
os._exit(0)  # not by way of torch's own end, where gloo's threads now and then abort
"""


@pytest.mark.slow
def test_weight_norm_of_shards(tmp_path) -> None:
    """If weights are sharded over two processes, both read the norm of the whole weights."""
    program = tmp_path / "sharded.py"
    program.write_text(SHARDED)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    run = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", str(program)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    assert run.returncode == 0, run.stderr


@given(
    factor=st.floats(0.01, 100.0),
    shift=st.floats(-100.0, 100.0),
    width=st.integers(1, 5),
    rows=st.integers(2, 20),
)
def test_output_scale(factor, shift, width, rows) -> None:
    """The scale grows with the outputs, and shifting all of them changes nothing."""
    generator = torch.Generator().manual_seed(rows)
    outputs = torch.randn(rows, width, generator=generator, dtype=torch.float64)

    assert output_scale(outputs * factor + shift) == pytest.approx(
        output_scale(outputs) * factor, rel=1e-6
    )


def test_output_scale_of_nests() -> None:
    """Outputs in a nest count together; tensors without floating-point values do not count."""
    pair = torch.tensor([[1.0, 3.0]])

    assert output_scale({"a": pair, "b": (pair * 3, torch.tensor([1]))}) == math.sqrt(5)
    assert output_scale(()) == 0.0


@pytest.mark.parametrize("normed", [True, False])
def test_reader_follows_what_matters(normed) -> None:
    """The reader measures the current outputs after a norm, and the current weights elsewhere."""
    model = layers(nn.LayerNorm(8) if normed else nn.Identity())
    optimizer = make_optimizer("adamw", model, lr=0.1, weight_decay=0.1)
    outputs = torch.tensor([[-2.0, 2.0]])
    read = make_sign_reader(model, optimizer, outputs=lambda: outputs)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model[0].weight[0, 0] = 5.0
    signs = read(0.1, 3.0)

    assert (signs.train_loss, signs.val_loss, signs.decays) == (0.1, 3.0, True)
    assert signs.scale == (2.0 if normed else 5.0)
    assert ("outputs" if normed else "weights") in signs.scale_of


def train_adder(seed: int, *, random_labels: bool = False, extends: bool = True):
    """Learn addition modulo 31 from 60 % of the sums; return the stopping, steps and accuracy."""
    rng = torch.Generator().manual_seed(seed)
    pairs = torch.cartesian_prod(torch.arange(31), torch.arange(31))
    y = torch.randint(0, 31, (961,), generator=rng) if random_labels else pairs.sum(1) % 31
    x = F.one_hot(pairs, 31).flatten(1).float()
    train, val = torch.randperm(961, generator=rng).split([576, 385])
    net = nn.Sequential(nn.Linear(62, 128), nn.ReLU(), nn.Linear(128, 31))
    with torch.no_grad():
        for layer in (net[0], net[2]):
            bound = 4 / math.sqrt(layer.in_features)
            layer.weight.uniform_(-bound, bound, generator=rng)
            layer.bias.zero_()
    optimizer = make_optimizer("adamw", net, lr=0.01, weight_decay=0.5, beta2=0.98)
    read = make_sign_reader(net, optimizer, outputs=lambda: net(x[val]))
    while_ = "grokking" if extends else None
    stopping = Stopping(StopSettings(patience=15, patience_extends_while=while_))
    step, accuracy = 0, 0.0
    while not stopping.exhausted and accuracy < 0.95:
        for _ in range(10):
            loss = F.cross_entropy(net(x[train]), y[train])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        step += 10
        with torch.no_grad():
            outputs = net(x[val])
        value = F.cross_entropy(outputs, y[val]).item()
        accuracy = (outputs.argmax(1) == y[val]).float().mean().item()
        stopping.update(value, step=step, epoch=step, signs=read(loss.item(), value))
    return stopping, step, accuracy


def test_a_net_that_groks_is_waited_for(seed) -> None:
    """Patience alone stops a network at chance level; extended, it lets it find the rule."""
    _, at_plain, by_chance = train_adder(seed, extends=False)
    stopping, at, accuracy = train_adder(seed)

    assert by_chance < 0.1
    assert accuracy >= 0.95
    assert stopping.extension is not None
    assert stopping.extension.first_step == at_plain < at


def test_a_net_that_cannot_grok_is_given_up() -> None:
    """With random labels, patience is extended too, and training ends well within the budget."""
    stopping, at, accuracy = train_adder(0, random_labels=True)
    extension = stopping.extension

    assert stopping.exhausted
    assert accuracy < 0.1
    assert extension is not None
    assert extension.n_extended > 0
    assert at < extension.budget * extension.first_step / 2
    assert "norm of the decayed weights" in stopping.why("val/loss")
