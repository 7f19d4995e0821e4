"""What a trainer holds between fits: settings, modes, gradients, and copies of itself."""

import copy
import pickle

import pytest
import torch
from torch import nn

import afina
from afina.errors import ConfigError

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)) + 3
ROWS = (X, X[:, :1])


def test_settings_changed_after_construction_take_effect(tmp_path) -> None:
    """Loss, folder and limits are those of the moment of the fit; wrong ones are refused."""
    model = nn.Linear(4, 1)
    trainer = afina.Trainer(model, loss=nn.MSELoss(), max_epochs=2)
    trainer.max_epochs, trainer.batch_size = 3, 16
    trainer.loss, trainer.run_dir = nn.L1Loss(), tmp_path / "run"

    assert trainer.fit(ROWS).stop.step == 12
    assert (tmp_path / "run" / "checkpoints").is_dir()
    expected = nn.functional.l1_loss(model(ROWS[0]), ROWS[1]).item()
    assert trainer.evaluate(ROWS)["loss"] == pytest.approx(expected)
    trainer.loss = nn.MSELoss(reduction="sum")
    with pytest.raises(ConfigError, match="must be a mean"):
        trainer.fit(ROWS)


class Student(nn.Module):
    """A linear layer behind a frozen normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Linear(4, 1)
        self.frozen = nn.BatchNorm1d(4).eval().requires_grad_(False)

    def forward(self, x):
        return self.student(self.frozen(x))


@pytest.mark.parametrize("new_trainer", [False, True])
def test_frozen_modules_stay_frozen_in_a_second_fit(new_trainer: bool) -> None:
    """Also after `model.eval()`, whose trace a user does not undo."""
    model = Student()
    trainer = afina.Trainer(model, loss=nn.MSELoss(), max_epochs=1)
    trainer.fit(ROWS)
    model.eval()
    if new_trainer:
        trainer = afina.Trainer(model, loss=nn.MSELoss(), max_epochs=1)
    trainer.fit(ROWS)

    assert model.frozen.running_mean.abs().sum() == 0
    model.train()
    trainer.fit(ROWS)
    assert model.frozen.running_mean.abs().sum() > 0


def test_a_part_in_train_mode_is_all_that_is_trained_in_it() -> None:
    """`model.eval(); model.student.train()` is a choice, and stays."""
    model = Student()
    model.eval()
    model.student.train()
    afina.Trainer(model, loss=nn.MSELoss(), max_epochs=1).fit(ROWS)

    assert model.frozen.running_mean.abs().sum() == 0


def test_gradients_outside_the_optimizer_do_not_pile_up() -> None:
    """Parameters that the optimizer does not hold have no gradient after a fit."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    sizes = []

    def observer(_event) -> None:
        sizes.append(model[0].weight.grad is None)

    head = torch.optim.SGD(model[1].parameters(), lr=1e-3)
    trainer = afina.Trainer(
        model, loss=nn.MSELoss(), optimizer=head, max_steps=3, batch_size=16, observers=[observer]
    )
    trainer.fit(ROWS)

    assert all(sizes)


@pytest.mark.parametrize("microbatch_size", [None, 16])
def test_sparse_gradients_are_refused_by_name(microbatch_size) -> None:
    """The message says what to change."""
    model = nn.Embedding(10, 1, sparse=True)
    trainer = afina.Trainer(model, loss=nn.MSELoss(), microbatch_size=microbatch_size)
    with pytest.raises(ConfigError, match="sparse=False"):
        trainer.fit((torch.arange(64) % 10, ROWS[1]))


class Complex(nn.Module):
    """A complex matrix whose output's size is the prediction."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(4, 1, dtype=torch.complex64, generator=generator)
        self.weight = nn.Parameter(start)

    def forward(self, x):
        return (x.to(self.weight.dtype) @ self.weight).abs()


def test_complex_parameters_are_averaged() -> None:
    """The plain average of one epoch's weights and the next is half way between them."""
    ends = []
    for averaging, epochs in ((None, 1), (None, 2), ("swa", 2)):
        model = Complex()
        afina.Trainer(model, loss=nn.MSELoss(), averaging=averaging, max_epochs=epochs).fit(ROWS)
        ends.append(model.weight.detach())

    torch.testing.assert_close(ends[2], (ends[0] + ends[1]) / 2)


def test_trainer_and_result_survive_pickle_and_deepcopy(tmp_path) -> None:
    """A copy trains its own model to the same weights, moments included."""
    model = nn.Linear(4, 1)
    own = torch.optim.Adam(model.parameters(), lr=0.01)
    trainer = afina.Trainer(model, loss=nn.MSELoss(), optimizer=own, max_epochs=2)
    result = trainer.fit(ROWS, ROWS)
    copies = [pickle.loads(pickle.dumps(trainer)), copy.deepcopy(trainer)]  # noqa: S301 - our own
    assert pickle.loads(pickle.dumps(result)) == copy.deepcopy(result) == result  # noqa: S301
    trainer.fit(ROWS, ROWS)
    for one in copies:
        one.fit(ROWS, ROWS)
        assert torch.equal(one.model.weight, model.weight)


def test_an_optimizer_that_needs_a_closure_is_refused_by_name() -> None:
    """L-BFGS computes the loss several times in a step, so that a step has no single gradient."""
    model = nn.Linear(4, 1)
    for optimizer in (
        torch.optim.LBFGS(model.parameters()),
        lambda m: torch.optim.LBFGS(m.parameters()),
    ):
        with pytest.raises(ConfigError, match=r"must not need a closure, .*, but LBFGS computes"):
            afina.Trainer(model, loss=nn.MSELoss(), optimizer=optimizer, max_epochs=1).fit(ROWS)
