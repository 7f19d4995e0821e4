"""Ctrl-C during a fit: the model has its best weights, and the error has the Result."""

import os
import signal
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from afina.errors import Interrupted
from afina.train import EvalEvent, StepEvent, Trainer

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(64, 4, generator=GENERATOR)
Y = X[:, :1] * 2
VAL = (X[:32], Y[:32] + 1.0)


@pytest.fixture(autouse=True)
def _usual_handler() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Press:
    """Press Ctrl-C at an event, and keep all events."""

    def __init__(self, kind: type, number: int, *, times: int = 1) -> None:
        self.kind, self.number, self.times = kind, number, times
        self.events: list = []

    def __call__(self, event: object) -> None:
        self.events.append(event)
        if isinstance(event, self.kind):
            self.number -= 1
            if self.number == 0:
                for _ in range(self.times):
                    os.kill(os.getpid(), signal.SIGINT)

    def best(self) -> float:
        return min(e.metrics["val/loss"] for e in self.events if isinstance(e, EvalEvent))


def make_trainer(press: Press, **settings) -> Trainer:
    torch.manual_seed(0)
    # The rate is so high that validation gets worse after the first epochs.
    arguments = {"loss": nn.MSELoss(), "lr": 0.3, "max_epochs": 12, "batch_size": 16} | settings
    return Trainer(nn.Linear(4, 1), observers=[press], **arguments)


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize(("kind", "number"), [(StepEvent, 30), (EvalEvent, 8)])
def test_the_best_weights_are_in_the_model(tmp_path, folder, kind, number) -> None:
    """With and without a run folder, in a step and in an evaluation."""
    press = Press(kind, number)
    trainer = make_trainer(press, run_dir=tmp_path / "run" if folder else None)
    with pytest.raises(Interrupted, match="SIGINT stopped the run after step 3") as caught:
        trainer.fit((X, Y), VAL)
    result = caught.value.result

    assert trainer.evaluate(VAL)["loss"] == press.best()
    assert (result.stop.reason, result.stop.best) == ("interrupted", press.best())
    assert result.stop.step in (30, 32)
    assert result.history[-1] == next(e for e in reversed(press.events) if type(e) is EvalEvent)
    assert (tmp_path / "run" / "checkpoints").exists() == folder


def test_a_fit_that_was_interrupted_resumes_to_the_same_end(tmp_path) -> None:
    """The best weights go into the model; the checkpoint keeps those of the last step."""
    whole = make_trainer(Press(StepEvent, 1000))
    whole.fit((X, Y), VAL)
    with pytest.raises(Interrupted, match="its state is in"):
        make_trainer(Press(StepEvent, 30), run_dir=tmp_path).fit((X, Y), VAL)
    resumed = make_trainer(Press(StepEvent, 1000), run_dir=tmp_path)
    result = resumed.fit((X, Y), VAL, resume=True)

    assert result.stop.reason == "max_epochs"
    assert torch.equal(resumed.model.weight, whole.model.weight)


def test_ctrl_c_in_the_last_step_is_not_lost() -> None:
    """A loop over fits ends, although this fit has finished."""
    with pytest.raises(KeyboardInterrupt) as caught:
        make_trainer(Press(EvalEvent, 12)).fit((X, Y), VAL)

    assert caught.value.result.stop.reason == "max_epochs"


def test_a_second_ctrl_c_interrupts_at_once_with_the_best_weights() -> None:
    """It is a plain KeyboardInterrupt, for there is no whole step to report."""
    press = Press(StepEvent, 30, times=2)
    trainer = make_trainer(press)
    with pytest.raises(KeyboardInterrupt) as caught:
        trainer.fit((X, Y), VAL)

    assert type(caught.value) is KeyboardInterrupt
    assert trainer.evaluate(VAL)["loss"] == press.best()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_validation_rows_the_model_keeps_its_last_weights() -> None:
    """There is nothing to choose the best ones by."""
    trainer, shorter = make_trainer(Press(StepEvent, 5)), make_trainer(Press(StepEvent, 1000))
    with pytest.raises(Interrupted):
        trainer.fit((X, Y))
    shorter.max_steps = 5
    shorter.fit((X, Y))

    assert torch.equal(trainer.model.weight, shorter.model.weight)
