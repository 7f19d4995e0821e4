"""Scores batch by batch: any object with update, compute and reset."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from afina.errors import ConfigError
from afina.train import EvalEvent, StepEvent, Trainer

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(50, 4, generator=GENERATOR)
Y = (X[:, 0] > 0).long()


class Accuracy(nn.Module):
    """As torchmetrics has it: a callable module that keeps sums."""

    def __init__(self) -> None:
        super().__init__()
        self.n_calls = 0
        self.reset()

    def reset(self) -> None:
        self.right = self.total = 0

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.n_calls += 1
        self.right += int((preds.argmax(1) == target).sum())
        self.total += len(target)

    def compute(self) -> Tensor:
        return torch.tensor(self.right / self.total)

    def forward(self, preds: Tensor, target: Tensor) -> Tensor:
        self.update(preds, target)
        return self.compute()


class Several(Accuracy):
    """Several numbers by name, as a MetricCollection has them."""

    def compute(self) -> dict[str, Tensor]:
        return {"right": torch.tensor(self.right), "share": super().compute()}


class Matrix(Accuracy):
    """No single number."""

    def compute(self) -> Tensor:
        return torch.zeros(2, 2)


def make_trainer(scores, **settings) -> Trainer:
    torch.manual_seed(0)
    arguments = {"loss": nn.CrossEntropyLoss(), "max_epochs": 3, "batch_size": 16} | settings
    return Trainer(nn.Linear(4, 2), scores=scores, **arguments)


def together(outputs, targets, _weights):
    return {"accuracy": float((outputs.argmax(1) == targets).float().mean())}


def test_a_metric_sees_every_row_of_an_evaluation_once() -> None:
    """It is reset before each evaluation, updated with each batch, and gives what a function gives."""
    metric, events = Accuracy(), []
    settings = {"monitor": "val/accuracy", "higher_is_better": True, "observers": [events.append]}
    trainer = make_trainer({"accuracy": metric}, **settings)
    other = make_trainer(together, monitor="val/accuracy", higher_is_better=True)
    streamed, whole = trainer.fit((X, Y), (X, Y)), other.fit((X, Y), (X, Y))
    values = [e.metrics["val/accuracy"] for e in events if isinstance(e, EvalEvent)]

    assert metric.n_calls == 3 * 4
    assert values == pytest.approx(
        [e.metrics["val/accuracy"] for e in whole.history if isinstance(e, EvalEvent)]
    )
    assert streamed.stop.best_epoch == whole.stop.best_epoch


@pytest.mark.parametrize(
    ("scores", "names"),
    [
        (Accuracy(), {"Accuracy"}),
        (Several(), {"right", "share"}),
        ({"a": Accuracy(), "b": Several()}, {"a", "b/right", "b/share"}),
    ],
)
def test_names(scores, names) -> None:
    """By the class, by the metric's own names, or by the mapping's."""
    values = make_trainer(scores).evaluate((X, Y))

    assert values.keys() == {"loss", *names}
    assert all(isinstance(value, float) for value in values.values())


def test_a_resumed_run_writes_the_same_bytes(tmp_path) -> None:
    """A metric holds nothing between evaluations."""
    for folder, steps in ((tmp_path / "a", (12,)), (tmp_path / "b", (5, 12))):
        for number, most in enumerate(steps):
            trainer = make_trainer(Accuracy(), run_dir=folder, max_steps=most)
            trainer.fit((X, Y), (X, Y), resume=number > 0)
    whole, resumed = ((tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in "ab")

    assert whole[-1] == resumed[-1]
    assert [line for line in resumed if '"eval"' in line][-1] == whole[-2]


def test_training_is_the_same_with_and_without() -> None:
    """A metric leaves no trace in the weights."""
    plain, scored = make_trainer(None), make_trainer(Accuracy())
    steps: list[list[float]] = [[], []]
    for trainer, losses in zip((plain, scored), steps, strict=True):
        trainer.observers = [
            lambda e, losses=losses: losses.append(e.loss) if isinstance(e, StepEvent) else None
        ]
        trainer.fit((X, Y), (X, Y))

    assert steps[0] == steps[1]
    assert torch.equal(plain.model.weight, scored.model.weight)
    assert copy.deepcopy(scored).evaluate((X, Y)) == scored.evaluate((X, Y))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (Accuracy, "update, compute and reset; got the class Accuracy"),
        (3, "scores must be a function .*; got 3"),
        ({"a": together}, "in a mapping must be metrics .*; got function as 'a'"),
        ({}, "scores must be a function .*; got {}"),
    ],
)
def test_what_is_no_score_is_refused_at_construction(scores, message) -> None:
    """The class in place of an object, a number, a mapping of functions."""
    with pytest.raises(ConfigError, match=message):
        make_trainer(scores)


def test_row_weights_and_matrices_are_refused() -> None:
    """A metric would pass over the weights silently."""
    with pytest.raises(ConfigError, match="cannot use row weights"):
        make_trainer(Accuracy()).evaluate((X, Y, torch.ones(50)))
    with pytest.raises(ConfigError, match=r"'Matrix' must be a single number; got shape \(2, 2\)"):
        make_trainer(Matrix()).evaluate((X, Y))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (0.5, "a mapping of numbers by name; got float"),
        (None, "a mapping of numbers by name; got NoneType"),
        ({"a": torch.ones(2)}, r"'a' must be a single number; got shape \(2,\)\. Average"),
        ({"a": "x"}, "'a' must be a single number; got 'x'"),
        ({"a": None}, "'a' must be a single number; got None"),
    ],
)
def test_what_a_function_returns_in_place_of_scores_is_named(returned, message) -> None:
    """A fit and an evaluation refuse alike whatever is not a mapping to single numbers."""
    trainer = Trainer(
        nn.Linear(4, 2), loss=nn.CrossEntropyLoss(), max_epochs=1, scores=lambda *_: returned
    )

    with pytest.raises(ConfigError, match=message):
        trainer.fit((X, Y), (X, Y))
    with pytest.raises(ConfigError, match=message):
        trainer.evaluate((X, Y))


def test_evaluate_returns_numbers_of_python() -> None:
    """A score that is a tensor or a number of numpy becomes a float."""
    trainer = Trainer(
        nn.Linear(4, 2),
        loss=nn.CrossEntropyLoss(),
        scores=lambda *_: {"a": torch.tensor([0.5]), "b": np.float32(2)},
    )

    scores = trainer.evaluate((X, Y))

    assert (scores["a"], scores["b"]) == (0.5, 2.0)
    assert {type(score) for score in scores.values()} == {float}
