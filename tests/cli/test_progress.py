"""How training goes on, on a terminal and elsewhere."""

import io

import pytest
from rich.console import Console

from afina.cli.console import Stderr
from afina.cli.progress import LiveLine, PlainLines, is_round, open_progress
from afina.train import EpochEvent, EvalEvent, StepEvent


def make_stderr(*, quiet: bool = False, verbose: bool = False, live: bool = False) -> Stderr:
    """Make a stderr that is kept in memory."""
    console = Console(file=io.StringIO(), force_terminal=live, width=100, color_system=None)
    return Stderr(console, quiet=quiet, verbose=verbose, live=live)


def written(stderr: Stderr) -> str:
    """Return what was written."""
    assert isinstance(stderr.console.file, io.StringIO)
    return stderr.console.file.getvalue()


def step(n: int, epoch: int = 0) -> StepEvent:
    """Make the record of a step."""
    return StepEvent(n, epoch, 0.5, 0.001, 1.0)


def evaluation(epoch: int, *, best: bool = False) -> EvalEvent:
    """Make the record of an evaluation."""
    return EvalEvent(epoch, epoch, {"val/loss": 1 / epoch, "val/accuracy": 0.75}, best)


class Clock:
    """Seconds that pass when told to; counts how often it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0

    def __call__(self) -> float:
        """Look at the clock."""
        self.looks += 1
        return self.now


def test_plain_lines_are_few() -> None:
    """In 1,000 epochs at most 20 plain lines are written, the first and the last among them."""
    stderr = make_stderr()
    progress = open_progress(stderr, n_epochs_max=1000, monitor="val/loss")
    for epoch in range(1, 1000):
        progress.step(step(epoch, epoch - 1))
        progress.trained(EpochEvent(epoch, epoch, 0.5))
        progress.evaluated(evaluation(epoch, best=epoch == 1))
    progress.close()

    lines = written(stderr).splitlines()
    assert len(lines) <= 20
    assert (
        lines[0]
        == "epoch 1, loss 0.500, validation loss 1, validation accuracy 0.750, the best so far"
    )
    assert lines[-1].startswith("epoch 999, ")


def test_without_validation_the_training_loss_is_told() -> None:
    """Where nothing is held out, the lines hold the training loss alone, the last epoch's too."""
    stderr = make_stderr()
    progress = open_progress(stderr, n_epochs_max=3, monitor="val/loss", validates=False)
    for epoch in range(1, 4):
        progress.trained(EpochEvent(epoch, epoch, 1 / epoch))
    progress.close()

    lines = ["epoch 1, loss 1", "epoch 2, loss 0.500", "epoch 3, loss 0.333"]
    assert written(stderr).splitlines() == lines


def test_verbose_writes_each_epoch() -> None:
    """With -v there is a line an epoch, and the last is not written twice."""
    stderr = make_stderr(verbose=True)
    progress = PlainLines(stderr, monitor="val/loss")
    for epoch in range(1, 8):
        progress.evaluated(evaluation(epoch))
    progress.close()

    assert len(written(stderr).splitlines()) == 7


def test_quiet_writes_nothing() -> None:
    """With -q nothing is written."""
    stderr = make_stderr(quiet=True, live=False)
    progress = open_progress(stderr, n_epochs_max=7, monitor="val/loss")
    progress.evaluated(evaluation(1))
    progress.close()

    assert written(stderr) == ""


def test_the_line_is_drawn_ten_times_a_second() -> None:
    """However many steps there are, the line is drawn at most ten times a second."""
    clock, stderr = Clock(), make_stderr(live=True)
    progress = LiveLine(stderr, n_epochs_max=9, monitor="val/loss", clock=clock)
    for n in range(10_000):  # 10,000 steps in one second
        clock.now = n / 10_000
        progress.step(step(n + 1))
    progress.close()

    assert 9 <= written(stderr).count("epoch 1/9") <= 11


def test_a_step_that_draws_nothing_looks_at_the_clock_once() -> None:
    """Between two drawings a step costs one look at the clock."""
    clock, stderr = Clock(), make_stderr(live=True)
    progress = LiveLine(stderr, n_epochs_max=9, monitor="val/loss", clock=clock)
    progress.step(step(1))
    looks, text = clock.looks, written(stderr)
    for n in range(100):
        progress.step(step(n))

    assert clock.looks == looks + 100
    assert text == written(stderr)
    progress.close()


def test_the_line_says_where_training_is() -> None:
    """The line has the epoch, the loss, the validation score, the best so far and the time."""
    clock, stderr = Clock(), make_stderr(live=True)
    progress = LiveLine(stderr, n_epochs_max=9, monitor="val/loss", clock=clock)
    progress.evaluated(evaluation(1, best=True))
    progress.evaluated(evaluation(2))
    clock.now = 75.0
    progress.step(step(3, 2))
    progress.close()

    expected = "epoch 3/9 · 1 min 15 s · loss 0.500 · validation loss 0.500 · best 1 at epoch 1"
    assert expected in written(stderr)


@pytest.mark.parametrize("epoch", [1, 2, 5, 10, 500, 2000])
def test_round_epochs(epoch: int) -> None:
    """1, 2, 5 and these times powers of ten are round; their neighbors are not."""
    assert is_round(epoch)
    assert not is_round(epoch * 10 + 1)
