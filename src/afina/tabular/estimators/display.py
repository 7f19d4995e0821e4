"""Show the progress of a fit from Python: one line, shown only where a person is watching."""

import contextlib
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from afina.errors import ConfigError
from afina.report.formatting import figure, seconds
from afina.tabular.events import FitObserver
from afina.train import EpochEvent, EvalEvent, StepEvent

REDRAW_S, LINE_S = 0.1, 10.0
_SHOWN_IN_CELL: dict[int, Any] = {}  # the line of the notebook cell that runs


class Screen(Protocol):
    """A place that shows one line at a time."""

    def show(self, text: str) -> None:
        """Replace the line."""

    def end(self, text: str) -> None:
        """Show the text that stays after the fit; show nothing if it is empty."""


@contextlib.contextmanager
def show_progress(verbose: object, *, monitor: str) -> Iterator[FitObserver]:
    """Show the progress of the fit in the `with` body, if `verbose` or the place calls for it.

    Args:
        verbose: True or a whole number above 0: show it. False or 0: show nothing. None or
            "auto": show it in a terminal or notebook.
        monitor: the metric that decides what is best.

    Yields:
        An observer for the fit.

    Raises:
        ConfigError: `verbose` is none of these.
    """
    screen = choose_screen(verbose=check_verbose(verbose))
    if screen is None:
        yield lambda _event: None
        return
    line = ProgressLine(screen, monitor if monitor.startswith("val/") else f"val/{monitor}")
    try:
        yield line
    except BaseException:
        screen.end("")
        raise
    screen.end(line.summary())


def check_verbose(verbose: object) -> bool | None:
    """Return whether to show progress; None if that depends on whether a person is watching.

    Raises:
        ConfigError: it is neither true, false, a whole number, None nor "auto".
    """
    if verbose is None or (isinstance(verbose, str) and verbose == "auto"):
        return None
    if isinstance(verbose, bool | np.bool_ | int | np.integer) and verbose >= 0:
        return bool(verbose)
    raise ConfigError(
        "verbose must be True, False, a whole number of at least 0, or None",
        got=repr(verbose),
        fix="Use None to see progress in terminals and notebooks only.",
    )


def choose_screen(*, verbose: bool | None) -> Screen | None:
    """Return where to show progress; None if nobody is watching, or stderr is closed.

    Unless it is requested, only the main thread of the main process shows progress: other threads
    and processes would overwrite each other's lines.
    """
    alone = multiprocessing.parent_process() is None and (
        threading.current_thread() is threading.main_thread()
    )
    if verbose is False or (verbose is None and not alone):
        return None
    shell = _notebook()
    if shell is not None:
        return NotebookScreen(shell)
    stream = sys.stderr
    if stream is None or getattr(stream, "closed", False):
        return None
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    if alone and not dumb and _is_terminal(stream):
        return TerminalScreen(stream, keeps=verbose is True)
    return PlainScreen(stream) if verbose else None


class ProgressLine:
    """An observer that describes a fit in one line, at most ten times a second.

    Args:
        screen: where it is shown.
        monitor: the metric that decides what is best.
        clock: returns seconds since an arbitrary moment.
    """

    def __init__(
        self, screen: Screen, monitor: str, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._screen = screen
        self._monitor = monitor
        self._clock = clock
        self._started = self._due = clock()
        self._epoch = 0
        self._loss: float | None = None
        self._score = ""
        self._best = ""
        self._summary = ""
        screen.show("afina: preparing the table")

    def __call__(self, event: object) -> None:
        """Record an event; redraw the line if the last drawing is old enough."""
        match event:
            case StepEvent():
                self._draw()
            case EpochEvent():
                self._epoch, self._loss = event.epoch, event.loss
            case EvalEvent() if self._monitor in event.metrics:
                name = self._monitor.replace("val/", "validation ").replace("_", " ")
                value = figure(event.metrics[self._monitor])
                self._score = f"{name} {value}"
                if event.best:
                    self._best = f"{value} at epoch {event.epoch}"
                    self._summary = f"best {name} {self._best}"

    def summary(self) -> str:
        """Describe the whole fit in a sentence without a period."""
        epochs = "1 epoch" if self._epoch == 1 else f"{self._epoch:,} epochs"
        loss = "" if self._loss is None else f"loss {figure(self._loss)}"
        return f"afina: {epochs} in {self._seconds()}, {self._summary or loss}".rstrip(", ")

    def _draw(self) -> None:
        if self._clock() < self._due:
            return
        best = f"best {self._best}" if self._best else ""
        parts = [f"afina: epoch {self._epoch or 1}", self._seconds(), self._score, best]
        self._screen.show(", ".join(part for part in parts if part))
        self._due = self._clock() + REDRAW_S

    def _seconds(self) -> str:
        return seconds(self._clock() - self._started)


class TerminalScreen:
    """A line in a terminal, redrawn in place and removed at the end.

    Args:
        stream: the terminal.
        keeps: whether to leave the last line in place.
    """

    def __init__(self, stream: Any, *, keeps: bool) -> None:
        self._stream = stream
        self._keeps = keeps
        self._width = 0

    def show(self, text: str) -> None:
        """Replace the line, cut to the width of the terminal."""
        text = text[: shutil.get_terminal_size().columns - 1]
        _write(self._stream, f"\r{text.ljust(self._width)}")
        self._width = len(text)

    def end(self, text: str) -> None:
        """Remove the line, or replace it with the last one."""
        self.show(text if self._keeps else "")
        _write(self._stream, "\n" if self._keeps and text else "\r")


class PlainScreen:
    """A log file or pipe, which gets a line every ten seconds, and the last one.

    Args:
        stream: where to write.
        clock: returns seconds since an arbitrary moment.
    """

    def __init__(self, stream: Any, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._stream = stream
        self._clock = clock
        self._due = clock() + LINE_S

    def show(self, text: str) -> None:
        """Write a line if the last one is old enough."""
        if self._clock() >= self._due:
            _write(self._stream, f"{text}\n")
            self._due = self._clock() + LINE_S

    def end(self, text: str) -> None:
        """Write the line."""
        if text:
            _write(self._stream, f"{text}\n")


class NotebookScreen:
    """One line below a notebook's cell, which all fits of the cell share.

    Args:
        shell: IPython's shell.
    """

    def __init__(self, shell: Any) -> None:
        self._cell = int(getattr(shell, "execution_count", 0))

    def show(self, text: str) -> None:
        """Replace the line."""
        bundle = {"text/plain": text}
        try:
            if self._cell in _SHOWN_IN_CELL:
                _SHOWN_IN_CELL[self._cell].update(bundle, raw=True)
                return
            display = sys.modules["IPython.display"].display
            _SHOWN_IN_CELL.clear()
            _SHOWN_IN_CELL[self._cell] = display(bundle, raw=True, display_id=True)
        except Exception:  # noqa: BLE001 - whatever a notebook does, the fit continues
            return

    def end(self, text: str) -> None:
        """Leave the last line."""
        self.show(text)


def _notebook() -> Any:
    """Return IPython's shell if this process is the kernel of a notebook, else None."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_shell() if callable(get_shell) else None
    return shell if hasattr(shell, "kernel") and "IPython.display" in sys.modules else None


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def _write(stream: Any, text: str) -> None:
    """Write, unless the stream has been closed."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.write(text)
        stream.flush()
