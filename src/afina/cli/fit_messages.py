"""The messages of a fit on stderr: the table, the columns, the progress of training, the result."""

import itertools
import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from afina.cli.console import Stderr
from afina.cli.formatting import count, score_sentence
from afina.cli.progress import LiveLine, PlainLines, open_progress
from afina.cli.streams import show_note
from afina.cli.tables import column_lines, score_lines
from afina.report.formatting import seconds
from afina.tabular.events import Learned, Read, Started
from afina.train import EpochEvent, EvalEvent, StepEvent, StopEvent


class FitMessages:
    """Print the progress of a fit or of a resumed run; `fit_table` and `resume_run` call it.

    Args:
        stderr: where to print.
        monitor: the metric that decides which epoch is best.
    """

    def __init__(self, stderr: Stderr, *, monitor: str) -> None:
        self._stderr = stderr
        self._monitor = monitor if monitor.startswith("val/") else f"val/{monitor}"
        self._validates = True
        self._extended = False
        self._progress: LiveLine | PlainLines | None = None

    def __call__(self, event: object) -> None:
        """Print one event; steps are matched first because they are the most frequent."""
        match event:
            case StepEvent() | EpochEvent() | EvalEvent():
                self._follow(event)
            case Read():
                rows, columns = count(event.n_rows, "row"), count(event.n_columns, "column")
                self._stderr.write(f"{event.source}: {rows}, {columns}")
            case Learned():
                self._print_learned(event)
            case Started():
                self._print_started(event)
            case StopEvent():
                self.close()
                self._print_stop(event)

    def _follow(self, event: StepEvent | EpochEvent | EvalEvent) -> None:
        if isinstance(event, EvalEvent) and event.extended and not self._extended:
            self._extended = True
            self._stderr.write(
                f"epoch {event.epoch}: patience has run out, but is extended while late "
                "generalization is possible (stop.patience_extends_while)"
            )
        if self._progress is None:
            return
        match event:
            case StepEvent():
                self._progress.step(event)
            case EpochEvent():
                self._progress.trained(event)
            case EvalEvent():
                self._progress.evaluated(event)

    def close(self) -> None:
        """Restore the terminal."""
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    def _print_learned(self, event: Learned) -> None:
        self._validates = event.n_val > 0
        write = self._stderr.write
        write(f"target: {event.target} ({event.task})\n")
        for line in column_lines(event.schema, whole=self._stderr.verbose):
            write(line)
        rows = f"{event.n_train:,} for training, {event.n_val:,} for validation"
        if event.n_folds > 1:
            rows = f"{event.n_train:,} in {event.n_folds} folds, for both training and validation"
        write(f"\nrows: {rows}; {event.n_left_out:,} left out")
        write(f"split: {event.how_split}")
        if not self._stderr.quiet:
            for note in event.notes:
                show_note(note)
        write(
            f"network: {count(event.n_parameters, 'parameter')}; "
            f"{event.batch_size:,} rows per step; {count(event.threads, 'thread')}"
        )

    def _print_stop(self, event: StopEvent) -> None:
        text = f"Stopped after epoch {event.epoch}: {event.why}."
        if event.best_epoch:  # epoch 0: the network has not seen all rows
            text += f" Epoch {event.best_epoch} was the best; its weights are kept."
        self._stderr.write(f"\n{text}")

    def _print_started(self, event: Started) -> None:
        where = f"run folder: {event.run}"
        if event.resumed_from:
            where += f", resuming from step {event.resumed_from:,}"
        elif event.resumed_from == 0:
            where += ", which has no checkpoint, so training starts over"
        self._stderr.write(where)
        if self._stderr.live and event.can_resume:
            self._stderr.write(
                "Ctrl-C saves the run and stops; `afina resume` continues it.", style="dim"
            )
        self._stderr.write()
        self._progress = open_progress(
            self._stderr,
            n_epochs_max=event.n_epochs_max,
            monitor=self._monitor,
            validates=self._validates,
        )


def print_end(
    stderr: Stderr,
    *,
    run: Path,
    summary: Mapping[str, Any],
    report: Path | None,
    started: float | None = None,
) -> None:
    """Print the model's scores, where its files are, and which commands to type next.

    Args:
        stderr: where to print.
        run: the run folder.
        summary: the content of `summary.json`.
        report: path of the report. None: it could not be written.
        started: `time.monotonic()` when the command started. None: show the fit's own duration.
    """
    stderr.write(score_sentence(summary), style="bold")
    if summary["score"].get("caution"):
        stderr.write(f"warning: {summary['score']['caution']}", style="bold yellow")
    if len(summary["scores"]) > 1 and summary["on"] == "val":
        stderr.write()
        for line in score_lines(summary["scores"], summary["baseline_scores"]):
            stderr.write(line)
    stderr.write()
    took = summary["seconds"] if started is None else time.monotonic() - started
    stderr.write(f"took {seconds(float(took))}")
    stderr.write(f"run folder: {run}")
    if report is not None:
        stderr.write(f"report: {report}")
    stderr.write("\nnext:")
    for line in next_commands(run):
        stderr.write(f"  {line}")


def next_commands(run: Path) -> list[str]:
    """Return the commands to type next, for a table of new rows rather than the training rows."""
    folder = shlex.quote(str(run))
    return [
        f"afina predict {folder} NEW.csv --out {_free_name()}  # NEW.csv: rows to predict",
        f"afina evaluate {folder} NEW.csv  # if their targets are known",
    ]


def _free_name() -> str:
    """Return a file name that is not in use, so that the command runs exactly as printed."""
    names = itertools.chain(
        ["predictions.csv"], map("predictions-{}.csv".format, itertools.count(2))
    )
    return next(name for name in names if not os.path.lexists(name))
