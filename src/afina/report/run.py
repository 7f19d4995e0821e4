"""Read a run folder into one frozen record, finished or not."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from afina.errors import CheckpointError
from afina.report.jsonfile import Record, damaged, read_record, read_text
from afina.report.metrics import Metrics, Stop, read_metrics
from afina.report.summary import Summary, read_summary


@dataclass(frozen=True)
class Run:
    """A run folder as read; what is not there yet is None.

    Args:
        folder: the run folder, as it was named.
        config_text: config.toml, letter by letter.
        config: the same, parsed.
        begun: what the run was made from: table and target; empty where it does not say.
        env: versions, threads, hardware.
        schema: the table's contract.
        split: how rows were assigned.
        metrics: the course of training.
        summary: scores and plots; None while the run is unfinished.
    """

    folder: Path
    config_text: str
    config: Record
    begun: Record
    env: Record | None
    schema: Record | None
    split: Record | None
    metrics: Metrics
    summary: Summary | None

    @property
    def stop(self) -> Stop | None:
        """Why it stopped; None while the run is unfinished."""
        if self.summary is not None and self.summary.stop is not None:
            return self.summary.stop
        return self.metrics.stop

    @property
    def finished(self) -> bool:
        """Whether it came to its end and has its scores."""
        return self.summary is not None and self.stop is not None


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        CheckpointError: it is no run folder, or one of its files is damaged.
    """
    if not any((folder / name).is_file() for name in ("config.toml", "metrics.jsonl")):
        what = "has neither config.toml nor metrics.jsonl" if folder.is_dir() else "is no folder"
        raise CheckpointError(
            f"A report must be asked of a run folder, however: {folder} {what}. "
            "Name a folder that `afina fit` made, such as runs/<time>-<name>."
        )
    text = read_text(folder / "config.toml") or ""
    try:
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError as reason:
        raise damaged(folder / "config.toml", str(reason)) from reason
    return Run(
        folder=folder,
        config_text=text,
        config=config,
        begun=read_record(folder / "run.json") or {},
        env=read_record(folder / "env.json"),
        schema=read_record(folder / "schema.json"),
        split=read_record(folder / "split.json"),
        metrics=read_metrics(folder / "metrics.jsonl"),
        summary=read_summary(folder / "summary.json"),
    )
