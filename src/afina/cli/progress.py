"""How training goes on: a line that is redrawn on a terminal, a few plain lines elsewhere."""

import time
from collections.abc import Callable
from typing import Protocol

from rich.live import Live
from rich.text import Text

from afina.cli.voice import Voice
from afina.report.wording import figure, seconds
from afina.train import EvalEvent, StepEvent

REDRAW_S = 0.1


class Progress(Protocol):
    """Shows how training goes on."""

    def step(self, event: StepEvent) -> None:
        """Take note of an optimizer step; called so often that it must cost nothing."""

    def evaluated(self, event: EvalEvent) -> None:
        """Take note of an evaluation."""

    def close(self) -> None:
        """Show the last state, and leave the terminal as it was."""


def open_progress(voice: Voice, *, n_epochs_max: int, monitor: str) -> Progress:
    """Choose the display that fits where stderr goes."""
    if voice.live:
        return LiveLine(voice, n_epochs_max=n_epochs_max, monitor=monitor)
    return PlainLines(voice, n_epochs_max=n_epochs_max, monitor=monitor)


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
        self._last: StepEvent | None = None
        self._voice = voice
        # Nothing redraws by itself: a drawing thread would take time from training.
        self._live = Live(console=voice.console, auto_refresh=False, transient=True)
        self._live.start()

    def step(self, event: StepEvent) -> None:
        """Redraw when the last time is long enough ago."""
        self._last = event
        if self._clock() >= self._due:
            self._draw(event)

    def evaluated(self, event: EvalEvent) -> None:
        """Keep the score for the next drawing."""
        self._score = _scores(event, [self._monitor])
        if event.best and self._monitor in event.metrics:
            self._best = f"best {figure(event.metrics[self._monitor])} at epoch {event.epoch}"
        if self._voice.verbose:
            self._voice.say(_line(event, self._last, self._monitor), style="dim")

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

    def __init__(self, voice: Voice, *, n_epochs_max: int, monitor: str) -> None:
        self._voice = voice
        self._n_epochs_max = n_epochs_max
        self._monitor = monitor
        self._last: StepEvent | None = None
        self._unsaid: EvalEvent | None = None

    def step(self, event: StepEvent) -> None:
        """Keep the newest loss."""
        self._last = event

    def evaluated(self, event: EvalEvent) -> None:
        """Write a line when the epoch is a round number."""
        if self._voice.verbose or is_round(event.epoch):
            self._voice.say(_line(event, self._last, self._monitor))
            self._unsaid = None
        else:
            self._unsaid = event

    def close(self) -> None:
        """Write the last epoch's line if it is still unsaid."""
        if self._unsaid is not None:
            self._voice.say(_line(self._unsaid, self._last, self._monitor))


def is_round(epoch: int) -> bool:
    """Tell whether an epoch is 1, 2 or 5 times a power of ten.

    Example:
        >>> [epoch for epoch in range(1001) if is_round(epoch)]
        [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    """
    digits = str(epoch)
    return digits[0] in "125" and set(digits[1:]) <= {"0"}


def _line(event: EvalEvent, last: StepEvent | None, monitor: str) -> str:
    loss = f", loss {figure(last.loss)}" if last else ""
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
