"""Nests keep their types, whatever is done to their tensors."""

from collections import OrderedDict, UserDict
from dataclasses import dataclass, fields
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from afina.errors import NonFiniteError
from afina.train import Trainer
from afina.train.nests import join_nests, list_tensors, map_tensors

X = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))


class Named(NamedTuple):
    """As GoogLeNet returns."""

    logits: Tensor
    cache: object = None


@dataclass(frozen=True)
class Frozen:
    """As a careful author returns."""

    logits: Tensor
    cache: object = None


@dataclass
class Ordered(OrderedDict):
    """A dict and a dataclass at once, as Hugging Face's models return; None has no key."""

    logits: Tensor
    cache: object = None

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) is not None:
                self[field.name] = getattr(self, field.name)

    def __reduce__(self):
        return type(self), (self.logits, self.cache)


class Attributes(dict):
    """A dict whose keys are attributes."""

    __getattr__ = dict.__getitem__


KINDS = {
    "dict": lambda logits: {"logits": logits, "cache": None},
    "named": Named,
    "frozen": Frozen,
    "ordered": Ordered,
    "attributes": lambda logits: Attributes(logits=logits),
    "mapping": lambda logits: UserDict(logits=logits),
    "list": lambda logits: [logits, None],
    "tuple": lambda logits: (logits, None),
}


def logits_of(output) -> Tensor:
    if hasattr(output, "logits"):
        return output.logits
    return output[0] if isinstance(output, tuple | list) else output["logits"]


class Model(nn.Module):
    """A linear layer that returns a structure."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.layer = KINDS[kind], nn.Linear(4, 2)

    def forward(self, x: Tensor) -> object:
        return self.kind(self.layer(x))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mapped_nest_is_of_its_type(kind) -> None:
    """A nest with changed tensors has its type, its tensors and its None; the old one is unchanged."""
    old = KINDS[kind](torch.zeros(2))
    new = map_tensors(lambda t: t + 1, old)

    assert type(new) is type(old)
    assert logits_of(new).tolist() == [1, 1]
    assert logits_of(old).tolist() == [0, 0]
    assert [t.tolist() for t in list_tensors(new)] == [[1, 1]]
    if isinstance(new, Ordered):
        assert new["logits"] is new.logits


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_scores_and_predictions_get_the_models_type(kind, precision) -> None:
    """In training under either precision, in scores and in predictions, the output has its type."""
    seen = []

    def loss(output, target):
        seen.append(type(output))
        return (logits_of(output) - target).square()

    def scores(outputs, _targets, _weights):
        seen.append(type(outputs))
        return {"rows": len(logits_of(outputs))}

    trainer = Trainer(
        Model(kind), loss=loss, scores=scores, max_epochs=1, precision=precision, eval_batch_size=3
    )
    result = trainer.fit((X, X[:, :2]), (X, X[:, :2]))
    predicted = trainer.predict(X)

    assert set(seen) == {type(KINDS[kind](X))} == {type(predicted)}
    assert result.history[-2].metrics["val/rows"] == 10
    torch.testing.assert_close(logits_of(predicted), trainer.model.layer(X).detach())


def test_what_cannot_be_concatenated_is_a_list() -> None:
    """Batches of different width become a list of rows, a number for each batch a list, None None."""
    joined = join_nests(
        [
            {"wide": torch.zeros(2, n), "loss": torch.tensor(float(n)), "cache": None, "n": n}
            for n in (3, 4)
        ]
    )

    assert [len(row) for row in joined["wide"]] == [3, 3, 4, 4]
    assert joined["loss"] == [torch.tensor(3.0), torch.tensor(4.0)]
    assert joined["cache"] is None
    assert joined["n"] == [3, 4]


def test_batches_of_different_width_are_scored_and_predicted() -> None:
    """Ragged batches of a loader have a loss, scores over lists of rows, and predictions."""
    batches = [(torch.ones(2, n), torch.zeros(2, n)) for n in (3, 5)]
    shapes = []

    def scores(outputs, targets, _weights):
        shapes.append(([len(row) for row in outputs], [len(row) for row in targets]))
        return {"rows": len(outputs)}

    trainer = Trainer(nn.PReLU(), loss=nn.MSELoss(), scores=scores, max_epochs=1)

    assert trainer.evaluate(batches) == {"loss": 1.0, "rows": 4}
    assert shapes == [([3, 3, 5, 5], [3, 3, 5, 5])]
    assert len(trainer.predict(batches)) == 4


class Infinite(nn.Module):
    """Rules out a class in one row, deep in its output."""

    def forward(self, x: Tensor) -> dict[str, tuple[Tensor, None]]:
        return {"logits": (torch.where(x == 7, -torch.inf, x), None)}


def test_infinite_outputs_are_taken_when_asked() -> None:
    """-inf is refused by row and place, unless allow_infinite; NaN always."""
    trainer = Trainer(Infinite(), loss=lambda output, target: target)
    x = torch.arange(10.0)[:, None]
    with pytest.raises(NonFiniteError, match=r"row 7: every output of 'logits.0' must be finite"):
        trainer.predict(x, batch_size=4)
    infinite = trainer.predict(x, batch_size=4, allow_infinite=True)["logits"][0]
    x[8] = float("nan")

    assert infinite.isinf().sum() == 1
    with pytest.raises(NonFiniteError, match=r"row 8: .* must be a number"):
        trainer.predict(x, batch_size=4, allow_infinite=True)


class Counting(nn.Module):
    """Keeps the most rows that it saw in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.most = nn.Linear(4, 1), 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            self.most = max(self.most, len(x))
        return self.layer(x)


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({"batch_size": 16}, 16),
        ({"batch_size": 16, "microbatch_size": 4}, 4),
        ({"batch_size": 16, "eval_batch_size": 100}, 100),
        ({}, 256),
    ],
    ids=str,
)
def test_evaluation_takes_no_more_rows_than_training(settings, most) -> None:
    """Validation, evaluate and predict see at most as many rows at a time as a training forward."""
    x = torch.randn(400, 4, generator=torch.Generator().manual_seed(1))
    model = Counting()
    trainer = Trainer(model, loss=nn.MSELoss(), max_epochs=1, **settings)
    result = trainer.fit((x, x[:, :1]), (x, x[:, :1]))
    in_fit, model.most = model.most, 0
    loss = trainer.evaluate((x, x[:, :1]))["loss"]
    trainer.predict(x)

    assert in_fit == model.most == most
    assert loss == result.stop.best


def test_a_wide_validation_batch_is_split_as_in_training() -> None:
    """With microbatch_size, a loader's larger validation batches are split too, with the same loss."""
    model = Counting()
    y = X[:, :1]
    trainer = Trainer(model, loss=nn.MSELoss(), max_epochs=1, microbatch_size=3, batch_size=10)
    result = trainer.fit([(X, y)], [(X, y)])

    assert model.most == 3
    assert result.stop.best == pytest.approx(float((model(X) - y).detach().square().mean()))


def test_a_loaders_batch_is_the_measure() -> None:
    """Rows in memory are validated as many at a time as the training loader gives."""
    model = Counting()
    Trainer(model, loss=nn.MSELoss(), max_epochs=1).fit(
        [(part, part[:, :1]) for part in X.split(5)], (X, X[:, :1])
    )

    assert model.most == 5
