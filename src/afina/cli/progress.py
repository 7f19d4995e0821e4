"""The progress of training: one line that is redrawn on a terminal, a few plain lines elsewhere."""

import time
from collections.abc import Callable

from rich.live import Live
from rich.text import Text

from afina.cli.console import Stderr
from afina.report.formatting import figure, seconds
from afina.train import EpochEvent, EvalEvent, StepEvent

REDRAW_S = 0.1


def open_progress(
    stderr: Stderr, *, n_epochs_max: int, monitor: str, validates: bool = True
) -> "LiveLine | PlainLines":
    """Return a live line if stderr is a terminal, plain lines otherwise.

    Args:
        stderr: where to print.
        n_epochs_max: the largest number of epochs.
        monitor: the metric that decides which epoch is best.
        validates: whether there are validation rows, and so evaluations.
    """
    if stderr.live:
        return LiveLine(stderr, n_epochs_max=n_epochs_max, monitor=monitor)
    return PlainLines(stderr, monitor=monitor, validates=validates)


class LiveLine:
    """One line at the bottom of a terminal, redrawn at most ten times a second.

    Args:
        stderr: where to print.
        n_epochs_max: the largest number of epochs.
        monitor: the metric that decides which epoch is best.
        clock: returns seconds since an arbitrary moment.
    """

    def __init__(
        self,
        stderr: Stderr,
        *,
        n_epochs_max: int,
        monitor: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        self._started = clock()
        self._due = self._started
        self._n_epochs_max = n_epochs_max
        self._monitor = monitor
        self._score = ""
        self._best = ""
        self._loss: float | None = None
        self._stderr = stderr
        # No automatic refresh: a drawing thread would take time from training.
        self._live = Live(
            console=stderr.console, auto_refresh=False, transient=True, redirect_stdout=False
        )
        self._live.start()

    def step(self, event: StepEvent) -> None:
        """Redraw if the last drawing is old enough."""
        if self._clock() >= self._due:
            self._draw(event)

    def trained(self, event: EpochEvent) -> None:
        """Keep the training loss for the epoch's line."""
        self._loss = event.loss

    def evaluated(self, event: EvalEvent) -> None:
        """Keep the score for the next drawing."""
        self._score = _scores(event, [self._monitor])
        if event.best and self._monitor in event.metrics:
            self._best = f"best {figure(event.metrics[self._monitor])} at epoch {event.epoch}"
        if self._stderr.verbose:
            self._stderr.write(_line(event, self._loss, self._monitor), style="dim")

    def close(self) -> None:
        """Remove the line."""
        self._live.stop()

    def _draw(self, event: StepEvent) -> None:
        # The changing numbers come first, because a narrow terminal cuts off the end.
        parts = [
            f"epoch {event.epoch + 1}/{self._n_epochs_max}",
            seconds(self._clock() - self._started),
            f"loss {figure(event.loss)}",
            self._score,
            self._best,
        ]
        text = Text(" · ".join(part for part in parts if part), no_wrap=True, overflow="ellipsis")
        self._live.update(text, refresh=True)
        self._due = self._clock() + REDRAW_S


class PlainLines:
    """A line after epochs 1, 2, 5, 10, 20, 50 and so on, or after every epoch with `-v`."""

    def __init__(self, stderr: Stderr, *, monitor: str, validates: bool = True) -> None:
        self._stderr = stderr
        self._monitor = monitor
        self._validates = validates
        self._loss: float | None = None
        self._pending = ""

    def step(self, event: StepEvent) -> None:
        """Do nothing: steps get no lines."""

    def trained(self, event: EpochEvent) -> None:
        """Keep the training loss, or write it if no evaluation will follow."""
        self._loss = event.loss
        if not self._validates:
            self._write(event.epoch, f"epoch {event.epoch}, loss {figure(event.loss)}")

    def evaluated(self, event: EvalEvent) -> None:
        """Write a line when the epoch is a round number."""
        self._write(event.epoch, _line(event, self._loss, self._monitor))

    def close(self) -> None:
        """Write the last epoch's line if it has not been written."""
        if self._pending:
            self._stderr.write(self._pending)

    def _write(self, epoch: int, line: str) -> None:
        due = self._stderr.verbose or is_round(epoch)
        self._pending = "" if due else line
        if due:
            self._stderr.write(line)


def is_round(epoch: int) -> bool:
    """Return whether an epoch is 1, 2 or 5 times a power of ten.

    Example:
        >>> [epoch for epoch in range(1001) if is_round(epoch)]
        [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    """
    digits = str(epoch)
    return digits[0] in "125" and set(digits[1:]) <= {"0"}


def _line(event: EvalEvent, training_loss: float | None, monitor: str) -> str:
    loss = "" if training_loss is None else f", loss {figure(training_loss)}"
    # The metric that decides, and one more score: people understand a score better than a loss.
    names = [monitor, *(name for name in event.metrics if name != monitor)][:2]
    mark = ", the best so far" if event.best else ""
    return f"epoch {event.epoch}{loss}, {_scores(event, names)}{mark}"


def _scores(event: EvalEvent, names: list[str]) -> str:
    return ", ".join(
        f"{name.replace('val/', 'validation ').replace('_', ' ')} {figure(event.metrics[name])}"
        for name in names
        if name in event.metrics
    )
