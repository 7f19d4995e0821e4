"""The progress of a fit: shown where a person watches, and nowhere else."""

import io
import os
import pty
import subprocess
import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from afina import AfinaClassifier, AfinaRegressor
from afina.errors import ConfigError
from afina.tabular.estimators import display
from afina.tabular.estimators.display import PlainScreen, ProgressLine, TerminalScreen
from afina.train import EpochEvent, EvalEvent, StepEvent

QUICK = {"d_block": 8, "members": 2, "folds": 2, "max_epochs": 3, "threads": 1}
X = np.random.default_rng(0).normal(size=(90, 2))
Y = (X.sum(axis=1) > 0).astype(int)
PROGRAM = f"""
import sys
import numpy as np
import afina
x = np.random.default_rng(0).normal(size=(90, 2))
y = x[:, 0] > 0
afina.AfinaClassifier(**{QUICK}, verbose=eval(sys.argv[1])).fit(x, y)
print("done")
"""


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


class Recorder:
    """A screen that keeps what it was shown."""

    def __init__(self):
        self.lines = []

    def show(self, text):
        self.lines.append(text)

    def end(self, text):
        self.lines.append(f"end: {text}")


class Kernel:
    """A notebook's shell: it counts cells, and keeps what each displays."""

    def __init__(self, monkeypatch):
        self.kernel = self
        self.execution_count = 1
        self.outputs = []
        module = ModuleType("IPython")
        module.get_ipython = lambda: self
        front = ModuleType("IPython.display")
        front.display = self.display
        monkeypatch.setitem(sys.modules, "IPython", module)
        monkeypatch.setitem(sys.modules, "IPython.display", front)
        monkeypatch.setattr(display, "_SHOWN_IN_CELL", {})

    def display(self, bundle, *, raw, display_id):
        assert raw
        assert display_id
        self.outputs.append([self.execution_count, bundle["text/plain"]])
        at = len(self.outputs) - 1

        def update(bundle, *, raw):
            self.outputs[at][1] = bundle["text/plain"]

        return SimpleNamespace(update=update)


def terminal(monkeypatch):
    """Put a terminal in the place of stderr."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


@pytest.mark.parametrize("verbose", [None, "auto", False, 0, np.False_])
def test_nothing_is_shown_where_nobody_watches(verbose, capfd):
    """With stderr in a file or pipe a fit is silent unless asked."""
    AfinaClassifier(**QUICK, verbose=verbose).fit(X, Y)

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [True, 1, 100, np.True_, np.int64(2)])
def test_one_line_is_written_where_it_is_asked_for(verbose, capfd):
    """With verbose a log gets the last line: epochs, time, and what was best."""
    model = AfinaClassifier(**QUICK, verbose=verbose).fit(X, Y)
    out, err = capfd.readouterr()

    assert out == ""
    assert err.startswith("afina: 3 epochs in ")
    assert err.endswith(f", best validation loss {model.stop_.best:.3g} at epoch 3\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("verbose", ["yes", -1, 1.5, [], "none"])
def test_other_values_are_refused(verbose):
    """What is no answer to "how much?" is refused by name, and nothing is fitted."""
    with pytest.raises(ConfigError, match="verbose must be True, False, a whole number"):
        AfinaClassifier(**QUICK, verbose=verbose).fit(X, Y)


def test_a_terminal_shows_one_line_and_removes_it(monkeypatch):
    """In a terminal the line is drawn over, and blank after the fit."""
    stream = terminal(monkeypatch)
    monkeypatch.setattr(display, "REDRAW_S", 0.0)
    AfinaRegressor(**QUICK).fit(X, X[:, 0])
    text = stream.getvalue()
    lines = text.split("\r")

    assert "\n" not in text
    assert any(line.startswith("afina: epoch 2, ") and ", best " in line for line in lines)
    assert lines[-2].isspace()
    assert lines[-1] == ""
    assert len(lines[-2]) == len(lines[-3])


def test_a_terminal_keeps_the_last_line_where_it_is_asked_for(monkeypatch):
    """With verbose=True the last line stays."""
    stream = terminal(monkeypatch)
    AfinaRegressor(**QUICK, verbose=True).fit(X, X[:, 0])
    last = stream.getvalue().split("\r")[-1]

    assert last.startswith("afina: 3 epochs in ")
    assert last.endswith("\n")


def test_a_narrow_terminal_gets_no_second_line(monkeypatch):
    """A line is cut to the terminal's width, so that it can be drawn over."""
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    TerminalScreen(stream, keeps=True).show("x" * 100)

    assert stream.getvalue() == "\r" + "x" * 19


def test_a_fit_that_fails_leaves_no_line(monkeypatch):
    """The line is removed before the error is shown."""
    stream = terminal(monkeypatch)
    with pytest.raises(ValueError, match="at least two classes"):
        AfinaClassifier(**QUICK, verbose=True).fit(X, np.zeros(90))

    assert stream.getvalue().split("\r")[-2].isspace()
    assert "\n" not in stream.getvalue()


def test_fits_in_threads_and_dumb_terminals_are_silent(monkeypatch):
    """Several fits at once would write over each other; a dumb terminal cannot redraw."""
    stream = terminal(monkeypatch)
    thread = threading.Thread(target=AfinaClassifier(**QUICK).fit, args=(X, Y))
    thread.start()
    thread.join()
    monkeypatch.setenv("TERM", "dumb")
    AfinaClassifier(**QUICK).fit(X, Y)

    assert stream.getvalue() == ""


def test_a_notebook_has_one_line_per_cell(monkeypatch, capfd):
    """All fits of a cell share a line, which stays; stderr gets nothing."""
    kernel = Kernel(monkeypatch)
    model = AfinaClassifier(**QUICK)
    model.fit(X, Y)
    model.fit(X, Y)
    kernel.execution_count = 2
    model.fit(X, Y)
    model.set_params(verbose=False).fit(X, Y)

    assert [cell for cell, _ in kernel.outputs] == [1, 2]
    assert all(text.startswith("afina: 3 epochs in ") for _, text in kernel.outputs)
    assert capfd.readouterr() == ("", "")


def test_a_notebook_that_fails_ends_no_fit(monkeypatch):
    """A front end that breaks leaves the fit alone."""
    kernel = Kernel(monkeypatch)
    monkeypatch.setattr(sys.modules["IPython.display"], "display", lambda *_: 1 / 0)

    assert AfinaClassifier(**QUICK).fit(X, Y).n_iter_ == 3
    assert kernel.outputs == []


def test_ipython_in_a_terminal_is_a_terminal(monkeypatch):
    """A shell without a kernel draws on stderr."""
    kernel = Kernel(monkeypatch)
    del kernel.kernel
    stream = terminal(monkeypatch)
    AfinaClassifier(**QUICK).fit(X, Y)

    assert kernel.outputs == []
    assert "afina: preparing the table" in stream.getvalue()


@pytest.mark.parametrize("verbose", [None, True])
@pytest.mark.parametrize("stream", [None, "closed", object()])
def test_a_missing_or_closed_stderr_is_not_written_to(verbose, stream, monkeypatch):
    """A fit does not need stderr."""
    if stream == "closed":
        stream = Terminal()
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)

    assert AfinaClassifier(**QUICK, verbose=verbose).fit(X, Y).n_iter_ == 3


@pytest.mark.slow
@pytest.mark.parametrize("verbose", ["None", "True"])
def test_a_program_whose_stderr_is_closed(verbose, tmp_path):
    """A program that is started without stderr fits and prints as ever."""
    (tmp_path / "program.py").write_text(PROGRAM)
    command = f"exec {sys.executable} {tmp_path / 'program.py'} {verbose} 2>&-"
    run = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, text=True, check=True)

    assert run.stdout == "done\n"


@pytest.mark.slow
def test_a_real_terminal():
    """On a pseudo-terminal the line is shown and removed."""
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", PROGRAM, "None"],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)

    assert "\rafina: preparing the table" in shown
    assert shown.endswith(" \r")


def test_the_line_without_validation_rows():
    """Where nothing is held out the training loss is shown."""
    screen, times = Recorder(), iter(range(100))
    line = ProgressLine(screen, "val/loss", clock=lambda: next(times))
    line(StepEvent(1, 0, 0.5, 0.1, 1.0))
    line(EpochEvent(1, 1, 0.25))

    assert screen.lines == ["afina: preparing the table", "afina: epoch 1, 2.0 s"]
    assert line.summary() == "afina: 1 epoch in 4.0 s, loss 0.250"


def test_the_line_with_another_monitor():
    """The metric that decides is shown by its name."""
    screen = Recorder()
    line = ProgressLine(screen, "val/balanced_accuracy", clock=lambda: 0.0)
    for epoch, score in ((1, 0.75), (2, 0.5)):
        metrics = {"val/loss": 1.0, "val/balanced_accuracy": score}
        line(EvalEvent(epoch, epoch, metrics, epoch == 1))
    line(StepEvent(3, 2, 0.5, 0.1, 1.0))

    assert line.summary().endswith("best validation balanced accuracy 0.750 at epoch 1")


def test_a_log_gets_a_line_every_ten_seconds():
    """A long fit in a log is seen to go on."""
    stream, now = io.StringIO(), [0.0]
    screen = PlainScreen(stream, clock=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        screen.show(f"at {second}")
    screen.end("the end")

    assert stream.getvalue() == "at 10\nat 20\nthe end\n"
