"""A loss that takes the model and a whole batch: language models, detection, anything."""

from collections import UserDict
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from afina.errors import ConfigError
from afina.train import EvalEvent, StepEvent, Trainer

GENERATOR = torch.Generator().manual_seed(0)
IDS = torch.randint(0, 11, (24, 6), generator=GENERATOR)
LABELS = torch.where(torch.rand(24, 6, generator=GENERATOR) < 0.3, -100, IDS)


@dataclass
class Output:
    """What a language model returns, with the mean loss over its own targets."""

    loss: Tensor
    logits: Tensor


class LanguageModel(nn.Module):
    """Keyword arguments in, a mean loss out, as Hugging Face's models have it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(11, 5), nn.Linear(5, 11)
        self.double()

    def forward(self, input_ids: Tensor, labels: Tensor) -> Output:
        logits = self.head(self.embedding(input_ids))
        loss = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100)
        return Output(loss, logits)


def language_loss(model, batch):
    n = (batch["labels"][:, 1:] != -100).sum()
    return model(**batch).loss * n, n


def batches(size: int) -> list[dict[str, Tensor]]:
    return [
        {"input_ids": IDS[at : at + size], "labels": LABELS[at : at + size]}
        for at in range(0, 24, size)
    ]


def trained(data, **settings) -> LanguageModel:
    model = LanguageModel()
    arguments = {"batch_loss": language_loss, "max_epochs": 2} | settings
    if "optimizer" not in arguments:
        arguments["optimizer"] = torch.optim.SGD(model.parameters(), lr=0.5)
    Trainer(model, **arguments).fit(data)
    return model


def far(a: nn.Module, b: nn.Module) -> float:
    return max(
        float((p - q).detach().abs().max())
        for p, q in zip(a.parameters(), b.parameters(), strict=True)
    )


def by_hand(n_steps: int) -> LanguageModel:
    model = LanguageModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(n_steps):
        total, n = language_loss(model, batches(24)[0])
        optimizer.zero_grad()
        (total / n).backward()
        optimizer.step()
    return model


def test_parts_of_a_step_are_the_whole_step() -> None:
    """Whole, in micro-batches, in batches that make up a step: the mean over all targets."""
    whole = by_hand(2)

    assert far(trained(batches(24)), whole) < 1e-12
    assert far(trained(batches(24), microbatch_size=5), whole) < 1e-12
    assert far(trained(batches(6), batches_per_step=4), whole) < 1e-12
    assert far(trained(batches(4), batches_per_step=6, microbatch_size=3), whole) < 1e-12
    assert far(trained(batches(4), batch_size=24), whole) < 1e-12


def test_a_part_without_targets_adds_nothing() -> None:
    """The mean over no targets is NaN; its weight is 0."""
    ids, labels = IDS[:6], LABELS[:6].clone()
    labels[:2] = -100
    data = [{"input_ids": ids, "labels": labels}]
    kept = [{"input_ids": ids[2:], "labels": labels[2:]}]

    assert far(trained(data, microbatch_size=2), trained(kept)) < 1e-12
    assert far(trained(data * 2), trained([*data, *kept])) < 1e-12
    empty = [{"input_ids": ids[:2], "labels": labels[:2]}]
    trainer = Trainer(LanguageModel(), batch_loss=language_loss)
    assert trainer.evaluate(empty + kept) == trainer.evaluate(kept)


def test_in_memory_and_other_mappings() -> None:
    """A mapping of tensors is rows in memory; a BatchEncoding is a mapping."""
    data = batches(24)[0]

    assert far(trained(data, batch_size=24), by_hand(2)) < 1e-12
    assert far(trained([UserDict(data)], microbatch_size=7), by_hand(2)) < 1e-12


def test_batches_per_step_with_any_loss() -> None:
    """Three batches of (x, y) are one step, and the last step takes what is left."""
    x = torch.randn(28, 3, generator=GENERATOR).double()
    data = [(x[at : at + 4], x[at : at + 4, :1]) for at in range(0, 28, 4)]
    steps: list[StepEvent] = []
    torch.manual_seed(0)
    model = nn.Linear(3, 1).double()
    trainer = Trainer(
        model, loss=nn.MSELoss(), batches_per_step=3, max_epochs=1, observers=[steps.append]
    )
    trainer.fit(data)

    assert [e.step for e in steps if isinstance(e, StepEvent)] == [1, 2, 3]


class Boxes(nn.Module):
    """A list of images of different sizes in, one number per image out."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))

    def forward(self, images: list[Tensor]) -> Tensor:
        return torch.cat([self.scale * image.mean().view(1) for image in images])


def box_loss(model, batch):
    images, targets = batch
    errors = model(images) - torch.stack([target["size"] for target in targets])
    return errors.square().sum(), len(images), {"distance": errors.abs().sum()}


def box_loader(size: int) -> DataLoader:
    rows = [
        (torch.full((1, n, n + 1), float(n)).double(), {"size": torch.tensor(3.0 * n)})
        for n in range(1, 7)
    ]
    return DataLoader(rows, batch_size=size, collate_fn=lambda rows: tuple(zip(*rows, strict=True)))


def test_batches_of_any_form() -> None:
    """Lists of images and dicts of targets stay as the loader made them, and named sums are shown."""
    models = []
    for size, per_step in ((6, 1), (2, 3)):
        events: list[EvalEvent] = []
        model = Boxes()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        trainer = Trainer(
            model,
            batch_loss=box_loss,
            optimizer=optimizer,
            batches_per_step=per_step,
            max_epochs=3,
            observers=[events.append],
        )
        trainer.fit(box_loader(size), box_loader(4))
        models.append(model)
        n = torch.arange(1.0, 7.0)
        scale = model.scale.item()
        metrics = next(e for e in reversed(events) if isinstance(e, EvalEvent)).metrics

        assert metrics["val/loss"] == pytest.approx(float(((scale - 3) * n).square().mean()))
        assert metrics["val/distance"] == pytest.approx(float(((scale - 3) * n).abs().mean()))
        assert trainer.evaluate(box_loader(3)).keys() == {"loss", "distance"}
    assert far(*models) < 1e-12


def test_a_resumed_run_has_the_same_bits(tmp_path) -> None:
    """With batches that make up a step, and a stop in the middle of an epoch."""
    loader = DataLoader(batches(2), batch_size=None, shuffle=True)
    settings = {"batches_per_step": 2, "optimizer": "adamw", "lr": 0.05}
    whole = trained(loader, max_epochs=3, **settings)
    trained(loader, max_epochs=3, max_steps=8, run_dir=tmp_path, **settings)
    model = LanguageModel()
    trainer = Trainer(model, batch_loss=language_loss, max_epochs=3, run_dir=tmp_path, **settings)
    trainer.fit(loader, resume=True)

    assert far(model, whole) == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "Trainer needs a loss"),
        ({"batch_loss": language_loss, "loss": nn.MSELoss()}, "cannot be combined with loss"),
        (
            {"batch_loss": language_loss, "scores": lambda _o, _t, _w: {}},
            "batch_loss cannot be combined with scores",
        ),
        ({"batch_loss": nn.Linear}, r"must be a function \(model, batch\) -> \(sum, weight\); got"),
        (
            {"loss": nn.MSELoss(), "batches_per_step": 2, "batch_size": 8},
            "batches_per_step cannot be combined with batch_size",
        ),
        ({"loss": nn.MSELoss(), "batches_per_step": 0}, "batches_per_step must be .* at least 1"),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(settings, message) -> None:
    """Before any data is there."""
    with pytest.raises(ConfigError, match=message):
        Trainer(LanguageModel(), **settings)


@pytest.mark.parametrize(
    ("returned", "shown"),
    [
        (lambda loss, n: loss, r"returned a tensor of shape \(\)"),
        (lambda loss, n: (loss,), r"returned \(a tensor of shape \(\)\)"),
        (lambda loss, n: (loss.item(), n), r"returned \(a float, a tensor"),
        (lambda loss, n: (loss.expand(3), n), r"returned \(a tensor of shape \(3,\)"),
        (lambda loss, n: (loss, n, loss), r"returned \(.*\)"),
        (lambda loss, n: (loss, None), r"returned \(a tensor of shape \(\), a NoneType\)"),
    ],
)
def test_what_is_no_sum_is_named(returned, shown) -> None:
    """A mean without its weight, numbers without a gradient, more than one number."""

    def loss(model, batch):
        return returned(*language_loss(model, batch))

    with pytest.raises(ConfigError, match=rf"\(sum, weight\) or .*, but loss {shown}"):
        trained(batches(8), batch_loss=loss)


def test_batches_that_cannot_be_cut_are_refused_where_they_must_be() -> None:
    """Micro-batches and merging by rows need rows."""
    for settings in ({"microbatch_size": 2}, {"batch_size": 4}):
        with pytest.raises(ConfigError, match="batches_per_step"):
            Trainer(Boxes(), batch_loss=box_loss, max_epochs=1, **settings).fit(box_loader(3))
    with pytest.raises(ConfigError, match="needs an iterable of batches"):
        trained(batches(24)[0], batches_per_step=2)
