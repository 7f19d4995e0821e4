"""Learning rates: a second fit starts again, nobody else changes them, torch's schedulers work."""

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import (
    LambdaLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from torch.utils.data import DataLoader, TensorDataset

import afina
from afina.errors import ConfigError
from afina.train import StepEvent

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
ROWS = (X, X[:, :1])


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 1)


def seen(rates: list[float]):
    return lambda event: rates.append(event.lr) if isinstance(event, StepEvent) else None


def trainer_of(model: nn.Module, rates: list[float], **keywords) -> afina.Trainer:
    settings = {"loss": nn.MSELoss(), "batch_size": 16, "max_epochs": 2, "observers": [seen(rates)]}
    return afina.Trainer(model, **settings | keywords)


def sequential(optimizer) -> SequentialLR:
    parts = [LambdaLR(optimizer, lambda n: (n + 1) / 4), StepLR(optimizer, 2)]
    return SequentialLR(optimizer, parts, milestones=[4])


SCHEDULERS = {
    "onecycle": lambda o: OneCycleLR(o, max_lr=0.1, total_steps=8),
    "milestones": lambda o: MultiStepLR(o, [2, 5]),
    "sequential": sequential,
}


@pytest.mark.parametrize("schedule", ["cosine", *SCHEDULERS])
def test_a_second_fit_starts_from_the_base_rates(schedule: str) -> None:
    """The rates of the second fit are those of the first, and the optimizer keeps its moments."""
    model, rates = linear(), []
    optimizer = Adam(model.parameters(), lr=0.1)
    made = SCHEDULERS.get(schedule, lambda _: schedule)(optimizer)
    trainer = trainer_of(model, rates, optimizer=optimizer, schedule=made)
    trainer.fit(ROWS)
    first = list(rates)
    trainer.fit(ROWS)

    assert rates[len(first) :] == first
    assert len(set(first)) > 1
    assert optimizer.state[model.weight]["step"] == 16


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_is_that_of_a_loop_by_hand(name: str) -> None:
    """Each optimizer step is followed by one of the scheduler."""
    rates, expected = [], []
    model = linear()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    trainer_of(model, rates, optimizer=optimizer, schedule=SCHEDULERS[name](optimizer)).fit(ROWS)
    by_hand = SGD(linear().parameters(), lr=0.1, momentum=0.9)
    scheduler = SCHEDULERS[name](by_hand)
    for _ in range(8):
        expected.append(by_hand.param_groups[0]["lr"])
        by_hand.step()
        scheduler.step()

    assert rates == expected


@pytest.mark.parametrize("name", [*SCHEDULERS, "plateau"])
def test_a_scheduler_is_resumed(tmp_path, name: str) -> None:
    """A resumed run has the rates and weights of the uninterrupted one, bit for bit."""

    def run(epochs: int, folder, resume: bool = False) -> tuple[Tensor, list[float]]:
        rates: list[float] = []
        model = linear()
        optimizer = Adam(model.parameters(), lr=0.1)
        makers = {
            **SCHEDULERS,
            "plateau": lambda o: ReduceLROnPlateau(o, patience=0, threshold=0.5),
        }
        settings = {"max_epochs": epochs, "run_dir": folder, "schedule": makers[name](optimizer)}
        trainer = trainer_of(model, rates, optimizer=optimizer, **settings)
        trainer.fit(ROWS, ROWS, resume=resume)
        return model.weight.detach(), rates

    makes_two = 2 if name != "plateau" else 6
    run(makes_two // 2, tmp_path / "run")
    resumed, whole = run(makes_two, tmp_path / "run", resume=True), run(makes_two, None)

    assert torch.equal(resumed[0], whole[0])
    assert resumed[1] == whole[1][len(whole[1]) // 2 :]


def test_plateau_goes_by_the_monitored_metric() -> None:
    """It needs validation rows, the metric's direction, and lowers the rate when it stands still."""
    rates: list[float] = []
    model = linear()
    optimizer = SGD(model.parameters(), lr=1e-9)
    plateau = ReduceLROnPlateau(optimizer, patience=0, eps=0.0)
    trainer = trainer_of(model, rates, optimizer=optimizer, schedule=plateau, max_epochs=4)
    with pytest.raises(ConfigError, match="no validation rows"):
        trainer.fit(ROWS)
    trainer.fit(ROWS, ROWS)

    assert rates[0] == 1e-9
    assert rates[-1] == pytest.approx(1e-11)
    trainer.schedule = ReduceLROnPlateau(optimizer, mode="max")
    with pytest.raises(ConfigError, match="direction of the monitored metric"):
        trainer.fit(ROWS, ROWS)


def test_a_rate_that_somebody_else_changes_is_an_error() -> None:
    """A scheduler stepped in an observer is refused, not overwritten."""
    model = linear()
    optimizer = SGD(model.parameters(), lr=0.1)
    scheduler = StepLR(optimizer, 1)

    def observer(event) -> None:
        if isinstance(event, StepEvent):
            scheduler.step()

    trainer = trainer_of(model, [], optimizer=optimizer, observers=[observer])
    with pytest.raises(ConfigError, match=r"was \[0.1\] after the last step and is \[0.01"):
        trainer.fit(ROWS)


@pytest.mark.parametrize("form", ["loader", "drop_last", "list"])
def test_a_named_schedule_knows_the_length_of_merged_batches(form: str) -> None:
    """With `batch_size`, batches of 6 rows are merged, and the schedule ends where training does."""
    data = DataLoader(TensorDataset(*ROWS), batch_size=6, drop_last=form == "drop_last")
    rates: list[float] = []
    stop = (
        trainer_of(linear(), rates, schedule="onecycle", lr=0.1)
        .fit(list(data) if form == "list" else data)
        .stop
    )

    assert stop.step == len(rates)
    assert rates[-1] == pytest.approx(1e-5)
    assert min(rates[:-1]) > 2e-5


@pytest.mark.parametrize(
    "wrong",
    [
        {"optimizer": 5},
        {"optimizer": []},
        {"schedule": 5},
        {"schedule": StepLR},
        {"schedule": "cosinus"},
        {"optimizer": "adamx"},
        {"schedule": lambda _: 1.0, "warmup_steps": 3},
        {"schedule": StepLR(SGD(linear().parameters(), lr=0.1), 1)},
    ],
)
def test_unknown_optimizers_and_schedules_are_refused_at_construction(wrong) -> None:
    """The message names what was passed."""
    with pytest.raises(ConfigError, match=r"optimizer|schedule"):
        trainer_of(linear(), [], **wrong)


def test_a_scheduler_that_is_too_short_is_named() -> None:
    """OneCycleLR with fewer steps than the run is an error of ours."""
    model = linear()
    optimizer = SGD(model.parameters(), lr=0.1)
    short = OneCycleLR(optimizer, max_lr=0.1, total_steps=3)
    with pytest.raises(ConfigError, match="OneCycleLR must last as long as the run"):
        trainer_of(model, [], optimizer=optimizer, schedule=short).fit(ROWS)
