"""How training goes on: a line that is redrawn on a terminal, a few plain lines elsewhere."""

import time
from collections.abc import Callable
from typing import Protocol

from rich.live import Live
from rich.text import Text

from afina.cli.console import Voice
from afina.report.formatting import figure, seconds
from afina.train import EpochEvent, EvalEvent, StepEvent

REDRAW_S = 0.1


class Progress(Protocol):
    """Shows how training goes on."""

    def step(self, event: StepEvent) -> None:
        """Take note of an optimizer step; called so often that it must cost nothing."""

    def trained(self, event: EpochEvent) -> None:
        """Take note of an epoch's training loss; its evaluation, if any, comes next."""

    def evaluated(self, event: EvalEvent) -> None:
        """Take note of an evaluation."""

    def close(self) -> None:
        """Show the last state, and leave the terminal as it was."""


def open_progress(
    voice: Voice, *, n_epochs_max: int, monitor: str, validates: bool = True
) -> Progress:
    """Choose the display that fits where stderr goes.

    Args:
        voice: where to.
        n_epochs_max: epochs after which training ends at the latest.
        monitor: the metric that decides what is best.
        validates: whether there are validation rows, so that evaluations will come.
    """
    if voice.live:
        return LiveLine(voice, n_epochs_max=n_epochs_max, monitor=monitor)
    return PlainLines(voice, monitor=monitor, validates=validates)


class LiveLine:
    """One line at the bottom of a terminal, redrawn at most ten times a second.

    Args:
        voice: where to.
        n_epochs_max: epochs after which training ends at the latest.
        monitor: the metric that decides what is best.
        clock: seconds since any moment.
    """

    def __init__(
        self,
        voice: Voice,
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
        self._voice = voice
        # Nothing redraws by itself: a drawing thread would take time from training.
        self._live = Live(
            console=voice.console, auto_refresh=False, transient=True, redirect_stdout=False
        )
        self._live.start()

    def step(self, event: StepEvent) -> None:
        """Redraw when the last time is long enough ago."""
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
        if self._voice.verbose:
            self._voice.say(_line(event, self._loss, self._monitor), style="dim")

    def close(self) -> None:
        """Remove the line."""
        self._live.stop()

    def _draw(self, event: StepEvent) -> None:
        # The newest figures first: a narrow terminal cuts the end.
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
    """A line at the epochs 1, 2, 5, 10, 20, 50 and so on; with `-v` at each."""

    def __init__(self, voice: Voice, *, monitor: str, validates: bool = True) -> None:
        self._voice = voice
        self._monitor = monitor
        self._validates = validates
        self._loss: float | None = None
        self._unsaid = ""

    def step(self, event: StepEvent) -> None:
        """Leave single steps unsaid."""

    def trained(self, event: EpochEvent) -> None:
        """Keep the training loss, or write it where no evaluation will follow."""
        self._loss = event.loss
        if not self._validates:
            self._tell(event.epoch, f"epoch {event.epoch}, loss {figure(event.loss)}")

    def evaluated(self, event: EvalEvent) -> None:
        """Write a line when the epoch is a round number."""
        self._tell(event.epoch, _line(event, self._loss, self._monitor))

    def close(self) -> None:
        """Write the last epoch's line if it is still unsaid."""
        if self._unsaid:
            self._voice.say(self._unsaid)

    def _tell(self, epoch: int, line: str) -> None:
        told = self._voice.verbose or is_round(epoch)
        self._unsaid = "" if told else line
        if told:
            self._voice.say(line)


def is_round(epoch: int) -> bool:
    """Tell whether an epoch is 1, 2 or 5 times a power of ten.

    Example:
        >>> [epoch for epoch in range(1001) if is_round(epoch)]
        [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    """
    digits = str(epoch)
    return digits[0] in "125" and set(digits[1:]) <= {"0"}


def _line(event: EvalEvent, training_loss: float | None, monitor: str) -> str:
    loss = "" if training_loss is None else f", loss {figure(training_loss)}"
    # The metric that decides, and one more, as a score says more to people than the loss.
    names = [monitor, *(name for name in event.metrics if name != monitor)][:2]
    mark = ", the best so far" if event.best else ""
    return f"epoch {event.epoch}{loss}, {_scores(event, names)}{mark}"


def _scores(event: EvalEvent, names: list[str]) -> str:
    return ", ".join(
        f"{name.replace('val/', 'validation ').replace('_', ' ')} {figure(event.metrics[name])}"
        for name in names
        if name in event.metrics
    )
