"""A fit told on stderr: what was read and learned, how training goes, what came of it."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from afina.cli.console import Voice
from afina.cli.formatting import count, score_sentence
from afina.cli.progress import Progress, open_progress
from afina.cli.streams import show_note
from afina.cli.tables import column_lines, score_lines
from afina.report.formatting import seconds
from afina.tabular.events import Learned, Read, Started
from afina.train import EpochEvent, EvalEvent, StepEvent, StopEvent


class Story:
    """Tells a fit or its resumption; a listener of `fit_table` and `resume_run`.

    Args:
        voice: where to.
        monitor: the metric that decides what is best.
    """

    def __init__(self, voice: Voice, *, monitor: str) -> None:
        self._voice = voice
        self._monitor = monitor if monitor.startswith("val/") else f"val/{monitor}"
        self._validates = True
        self._extended = False
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was, whatever happened."""
        self._close()

    def __call__(self, event: object) -> None:
        """Tell one record; a step comes first, as it comes most often."""
        match event:
            case StepEvent() | EpochEvent() | EvalEvent():
                self._follow(event)
            case Read():
                rows, columns = count(event.n_rows, "row"), count(event.n_columns, "column")
                self._voice.say(f"{event.source}: {rows}, {columns}")
            case Learned():
                self._tell_learned(event)
            case Started():
                self._tell_started(event)
            case StopEvent():
                self._close()
                self._tell_stop(event)

    def _follow(self, event: StepEvent | EpochEvent | EvalEvent) -> None:
        if isinstance(event, EvalEvent) and event.extended and not self._extended:
            self._extended = True
            text = f"epoch {event.epoch}: patience is spent, and extended while late "
            self._voice.say(f"{text}generalization is possible (stop.patience_extends_while)")
        if self._progress is None:
            return
        match event:
            case StepEvent():
                self._progress.step(event)
            case EpochEvent():
                self._progress.trained(event)
            case EvalEvent():
                self._progress.evaluated(event)

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    def _tell_learned(self, event: Learned) -> None:
        self._validates = event.n_val > 0
        say = self._voice.say
        say(f"target: {event.target} ({event.task})\n")
        for line in column_lines(event.schema, whole=self._voice.verbose):
            say(line)
        learning = f"{event.n_train:,} to learn from, {event.n_val:,} to decide when to stop"
        if event.n_folds > 1:
            learning = f"{event.n_train:,} to learn from and to decide when to stop, in turns"
        say(f"\nrows: {learning}, {event.n_left_out:,} left out")
        say(f"split: {event.how_split}")
        if not self._voice.quiet:
            for note in event.notes:
                show_note(note)
        say(
            f"network: {count(event.n_parameters, 'parameter')}; {event.batch_size:,} rows a step; "
            f"{count(event.threads, 'thread')}"
        )

    def _tell_stop(self, event: StopEvent) -> None:
        text = f"Stopped after epoch {event.epoch}: {event.why}."
        if event.best_epoch is not None:
            text += f" The best was epoch {event.best_epoch}; its weights are kept."
        self._voice.say(f"\n{text}")

    def _tell_started(self, event: Started) -> None:
        where = f"run folder: {event.run}"
        if event.resumed_from:
            where += f", going on from step {event.resumed_from:,}"
        elif event.resumed_from == 0:
            where += ", which has no checkpoint: from the start"
        self._voice.say(where)
        if self._voice.live:
            self._voice.say("Ctrl-C saves and stops; `afina resume` goes on.", style="dim")
        self._voice.say()
        self._progress = open_progress(
            self._voice,
            n_epochs_max=event.n_epochs_max,
            monitor=self._monitor,
            validates=self._validates,
        )


def tell_end(voice: Voice, *, run: Path, summary: Mapping[str, Any], report: Path | None) -> None:
    """Say how good the model is, where everything lies, and what to type next.

    Args:
        voice: where to.
        run: the run folder.
        summary: what `summary.json` says.
        report: the page about it, where there is one.
    """
    voice.say(score_sentence(summary), style="bold")
    if len(summary["scores"]) > 1:
        voice.say()
        for line in score_lines(summary["scores"], summary["baseline_scores"]):
            voice.say(line)
    voice.say()
    voice.say(f"took {seconds(float(summary['seconds']))}")
    voice.say(f"run folder: {run}")
    if report is not None:
        voice.say(f"report: {report}")
    voice.say("\nnext:")
    for line in next_commands(run, str(summary["table"])):
        voice.say(f"  {line}")


def next_commands(run: Path, table: str) -> list[str]:
    """Return commands that can be typed as they stand."""
    folder = shlex.quote(str(run))
    source = shlex.quote(table)
    return [
        f"afina predict {folder} {source} --out {_free_name()}",
        f"afina report {folder}  # writes the report again",
        f"afina resume {folder}  # goes on with a run that was interrupted",
    ]


def _free_name() -> str:
    """Find a name that nothing has yet: the command shall run as it stands."""
    name, number = "predictions.csv", 2
    while os.path.lexists(name):
        name, number = f"predictions-{number}.csv", number + 1
    return name
