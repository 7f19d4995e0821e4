"""The learning-rate range test: a rate to start with, and no trace."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from afina.errors import AfinaWarning, ConfigError
from afina.train import Trainer


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1)
    )


def rows(n: int = 300) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 4, generator=generator)
    return x, x.sum(1, keepdim=True) + 0.1 * torch.randn(n, 1, generator=generator)


def trainer(model: nn.Module, **settings) -> Trainer:
    arguments = {"loss": nn.MSELoss(), "batch_size": 32, "max_epochs": 3}
    return Trainer(model, **arguments | settings)


def test_rates_rise_by_a_constant_factor_until_the_loss_diverges() -> None:
    """The rates are a geometric sequence, and the suggestion is a tenth of the last good one."""
    found = trainer(network(), optimizer="sgd").find_lr(rows(), lowest=1e-5, highest=100)

    ratios = [b / a for a, b in zip(found.lrs, found.lrs[1:], strict=False)]
    assert found.lrs[0] == pytest.approx(1e-5)
    assert max(ratios) == pytest.approx(min(ratios))
    assert 10 < len(found.lrs) < 100
    assert found.losses[-1] > 4 * min(found.losses)
    near = [
        lr
        for lr, loss in zip(found.lrs, found.losses, strict=True)
        if loss <= 1.05 * min(found.losses)
    ]
    assert found.suggestion == pytest.approx(near[-1] / 10)


def test_the_suggested_rate_trains() -> None:
    """Training at the suggested rate ends far below the loss of predicting the mean."""
    model = network()
    lr = trainer(model).find_lr(rows()).suggestion
    found = trainer(model, lr=lr, max_epochs=60)
    found.fit(rows())

    assert found.evaluate(rows())["loss"] < 0.3 * float(rows()[1].var())


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("settings", [{}, {"averaging": "ema"}, {"microbatch_size": 8}])
def test_a_range_test_leaves_no_trace(own, settings) -> None:
    """Nothing has changed afterwards, and a fit that follows gives the same bits as one without."""

    def run(*, look: bool) -> dict[str, Tensor]:
        model = network()
        if own:
            optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
            for p in model.parameters():  # an optimizer that has a past
                p.grad = torch.ones_like(p)
            optimizer.step()
        one = trainer(model, optimizer=optimizer if own else "adamw", **settings)
        if look:
            state, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
            one.find_lr(rows())
            assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
            assert torch.equal(torch.get_rng_state(), random)
            assert all(p.grad is None for p in model.parameters())
            assert model.training
        one.fit(rows(), rows(50))
        return model.state_dict()

    plain, looked = run(look=False), run(look=True)
    assert all(torch.equal(v, looked[k]) for k, v in plain.items())


def test_seeded_fault_kept_moments_are_caught(monkeypatch) -> None:
    """Seeded fault: if a custom optimizer keeps the trial's moments, the fit that follows differs."""
    from contextlib import nullcontext

    def run(*, look: bool) -> Tensor:
        model = network()
        one = trainer(model, optimizer=torch.optim.AdamW(model.parameters(), lr=0.01))
        if look:
            one.find_lr(rows())
        one.fit(rows())
        return model[0].weight

    plain = run(look=False)
    monkeypatch.setattr("afina.train.trainer.kept_optimizer", nullcontext)
    assert not torch.equal(plain, run(look=True))


def test_nothing_is_written(tmp_path: Path) -> None:
    """A range test writes nothing to the run folder."""
    trainer(network(), run_dir=tmp_path / "run").find_lr(rows())

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "rates", [{"lowest": 0.0}, {"lowest": 2.0}, {"n_steps": 1}, {"highest": float("inf")}]
)
def test_rates_that_cannot_be_are_refused(rates) -> None:
    """Rates must be positive and rising, over at least two steps."""
    with pytest.raises(ConfigError, match="0 < lowest < highest"):
        trainer(network()).find_lr(rows(), **rates)


def test_no_clear_fall_is_said_and_the_default_suggested() -> None:
    """If there is nothing to learn, no rate from the edge of the range is suggested."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(64, 4, generator=generator), torch.zeros(64, 1)
    model = nn.Linear(4, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    with pytest.warns(AfinaWarning, match="any learning rate"):
        found = trainer(model).find_lr(noise)

    assert found.suggestion == 1e-3
