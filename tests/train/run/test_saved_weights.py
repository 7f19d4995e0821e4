"""The weights of a run that ended, was killed, or has a loss with parameters."""

import pytest
import torch
from torch import nn

import afina
from afina.errors import AfinaWarning, CheckpointError, ConfigError
from afina.train import CheckpointPlan, EvalEvent, StepEvent, Trainer

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(64, 4, generator=GENERATOR)
Y = X[:, :1] * 2
VAL = (X[:32], Y[:32] + 1.0)


class Scaled(nn.Module):
    """A loss with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, output, target):
        return ((output - target) ** 2 * torch.exp(-self.scale) + self.scale).flatten()


def fit(folder, *, val=VAL, observers=(), **settings):
    torch.manual_seed(0)
    arguments = {"loss": nn.MSELoss(), "lr": 0.3, "max_epochs": 10, "batch_size": 16} | settings
    plan = CheckpointPlan(every_steps=1, keep_last=100)
    trainer = Trainer(
        nn.Linear(4, 1), run_dir=folder, checkpoints=plan, observers=observers, **arguments
    )
    trainer.fit((X, Y), val)
    return trainer


def loaded(weights) -> nn.Module:
    model = nn.Linear(4, 1)
    model.load_state_dict(weights)
    return model


def test_best_last_and_a_step(tmp_path) -> None:
    """They are what the model had at the end, after the last step, and at that step."""
    trainer = fit(tmp_path)
    shorter = fit(None, val=None, max_steps=7)
    longest = fit(None, val=None)

    best = afina.load_weights(tmp_path)
    assert torch.equal(loaded(best).weight, trainer.model.weight)
    assert torch.equal(afina.load_weights(str(tmp_path), "last")["weight"], longest.model.weight)
    assert torch.equal(afina.load_weights(tmp_path, 7)["weight"], shorter.model.weight)
    assert not torch.equal(best["weight"], afina.load_weights(tmp_path, "last")["weight"])


def test_of_a_run_that_was_killed(tmp_path) -> None:
    """The best weights so far are there, and those of the last step that was saved."""
    losses = []

    def crash(event) -> None:
        if isinstance(event, EvalEvent):
            losses.append(event.metrics["val/loss"])
        if isinstance(event, StepEvent) and event.step == 34:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        fit(tmp_path, observers=[crash])
    model = loaded(afina.load_weights(tmp_path, "best"))
    loss = Trainer(model, loss=nn.MSELoss()).evaluate(VAL)["loss"]

    assert loss == pytest.approx(min(losses), rel=1e-6)
    assert afina.load_weights(tmp_path, "last").keys() == {"weight", "bias"}


@pytest.mark.parametrize("averaging", [None, "ema", "swa"])
@pytest.mark.parametrize("val", [None, VAL], ids=["no validation", "validation"])
def test_best_is_what_the_fit_ends_on(tmp_path, averaging, val) -> None:
    """With and without an average of the weights and validation rows."""
    trainer = fit(tmp_path, averaging=averaging, val=val)

    assert torch.equal(afina.load_weights(tmp_path)["weight"], trainer.model.weight)


def test_parameters_of_the_loss_are_left_out(tmp_path) -> None:
    """The model can load what is returned, although the loss had a parameter."""
    trainer = fit(tmp_path, loss=Scaled())
    for which in ("best", "last", 3):
        assert afina.load_weights(tmp_path, which).keys() == {"weight", "bias"}

    assert torch.equal(loaded(afina.load_weights(tmp_path)).weight, trainer.model.weight)


@pytest.mark.parametrize("which", ["newest", 41, 0, True, None])
def test_what_is_not_there_is_named_with_what_is(tmp_path, which) -> None:
    """The message lists the steps."""
    fit(tmp_path, max_steps=3)

    with pytest.raises(ConfigError, match=r"which must be .*\(1, 2, 3\); got"):
        afina.load_weights(tmp_path, which)


def test_a_folder_without_checkpoints_and_damaged_ones(tmp_path) -> None:
    """A wrong folder is named; a damaged checkpoint is passed over with a warning."""
    with pytest.raises(CheckpointError, match="there are none"):
        afina.load_weights(tmp_path / "nowhere")
    fit(tmp_path, max_steps=2)
    for step in (2, 1):
        damaged = tmp_path / "checkpoints" / f"step-{step:08d}" / "model.safetensors"
        damaged.write_bytes(damaged.read_bytes()[:-1])
        if step == 2:
            with pytest.warns(AfinaWarning, match="skipped step-00000002"):
                afina.load_weights(tmp_path, "last")
    with pytest.raises(CheckpointError, match="must hold an undamaged checkpoint"):
        afina.load_weights(tmp_path)
