"""Patience that is extended, in the trainer: the record, the reason, and the resume."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from afina import Trainer
from afina.errors import ConfigError
from afina.train import EvalEvent, Stop


def accuracy(outputs, targets, weights) -> dict[str, float]:
    return {"accuracy": float((outputs.argmax(1) == targets).float().mean())}


def adder(**settings):
    """Make a trainer, training rows and validation rows for addition modulo 31."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.cartesian_prod(torch.arange(31), torch.arange(31))
    x, y = F.one_hot(pairs, 31).flatten(1).float(), pairs.sum(1) % 31
    train, val = torch.randperm(961, generator=generator).split([576, 385])
    net = nn.Sequential(nn.Linear(62, 128), nn.ReLU(), nn.Linear(128, 31))
    with torch.no_grad():
        for layer in (net[0], net[2]):
            bound = 4 / layer.in_features**0.5
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.zero_()
    trainer = Trainer(
        net,
        loss=nn.CrossEntropyLoss(),
        lr=0.01,
        weight_decay=0.5,
        beta2=0.98,
        batch_size=576,
        eval_every=10,
        patience=15,
        max_epochs=8000,  # it takes 1,300 to 2,000, as rounding will have it
        scores=accuracy,
        **settings,
    )
    return trainer, (x[train], y[train]), (x[val], y[val])


def enough(event) -> Stop | None:
    done = isinstance(event, EvalEvent) and event.metrics["val/accuracy"] >= 0.95
    return Stop("it generalizes") if done else None


def test_patience_is_extended_and_says_so(tmp_path) -> None:
    """Plain patience stops at chance; extended, the net generalizes, and the log tells of it."""
    trainer, train, val = adder()
    plain = trainer.fit(train, val).stop
    by_chance = trainer.evaluate(val)["accuracy"]
    trainer, train, val = adder(
        patience_extends_while="grokking", run_dir=tmp_path / "run", observers=[enough]
    )
    stop = trainer.fit(train, val).stop
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    told = [one for one in map(json.loads, lines) if one.get("extended")]

    assert plain.reason == "patience"
    assert by_chance < 0.1
    assert stop.why == "it generalizes"
    assert told[0]["step"] == plain.step
    assert {one["kind"] for one in told} == {"eval"}


def test_budget_is_kept() -> None:
    """The budget ends the extension, and the reason says so."""
    trainer, train, val = adder(patience_extends_while="grokking", patience_budget=2)
    stop = trainer.fit(train, val).stop

    assert stop.reason == "patience"
    assert "the budget is spent: 2 times" in stop.why


@pytest.mark.parametrize("at", [100, 160, 300])
def test_a_resume_in_the_middle_of_it_changes_nothing(tmp_path, at) -> None:
    """Stopped before or while patience is extended and resumed, a run ends bit for bit the same."""
    settings = {"patience_extends_while": "grokking", "patience_budget": 3}
    whole, train, val = adder(**settings, run_dir=tmp_path / "whole")
    whole.fit(train, val)
    first, train, val = adder(**settings, run_dir=tmp_path / "cut", max_steps=at)
    first.fit(train, val)
    again, train, val = adder(**settings, run_dir=tmp_path / "cut")
    stop = again.fit(train, val, resume=True).stop

    assert "the budget is spent" in stop.why
    assert all(map(torch.equal, whole.model.parameters(), again.model.parameters()))


def test_patience_to_extend_is_needed() -> None:
    """Asking to extend no patience at all is refused at once."""
    with pytest.raises(ConfigError, match="needs a patience to extend"):
        Trainer(nn.Linear(1, 1), loss=nn.MSELoss(), patience_extends_while="grokking")
