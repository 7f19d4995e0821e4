"""Read a run folder, finished or not, into one frozen record."""

import shlex
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afina.errors import CheckpointError
from afina.records.env_json import Environment
from afina.records.json_record import FIX, parse_object, read_bytes, read_record
from afina.records.metrics_jsonl import StopRecord
from afina.records.run_json import RunRecord
from afina.records.split_json import SplitRecord
from afina.records.state_json import parse_state
from afina.records.summary_json import Summary
from afina.report.metrics import Metrics, read_metrics
from afina.storage import list_checkpoints


@dataclass(frozen=True)
class RunFiles:
    """The files of a run folder; None for a file that does not exist yet.

    Args:
        folder: the run folder, as the caller named it.
        config_text: config.toml, exactly as written.
        config: config.toml, parsed.
        begun: the inputs of the run, as recorded when it began.
        env: versions, threads, hardware.
        schema: how each column is read.
        split: how rows were assigned.
        metrics: the curves of training.
        summary: scores, and the data of plots.
        trainer_settings: settings of `afina.Trainer` that the newest checkpoint records; empty
            if there is none.
    """

    folder: Path
    config_text: str
    config: dict[str, Any]
    begun: RunRecord | None
    env: Environment | None
    schema: dict[str, Any] | None
    split: SplitRecord | None
    metrics: Metrics
    summary: Summary | None
    trainer_settings: dict[str, Any]

    @property
    def by_trainer(self) -> bool:
        """Whether `afina.Trainer` made the run on a module: it writes no config.toml."""
        return not self.config_text and self.begun is None

    @property
    def quoted(self) -> str:
        """The folder, quoted for a shell."""
        return shlex.quote(str(self.folder))

    @property
    def stop(self) -> StopRecord | None:
        """Why training ended; None while the run is unfinished."""
        if self.summary is not None and self.summary.stop is not None:
            return self.summary.stop
        return self.metrics.stop

    @property
    def finished(self) -> bool:
        """Whether training has ended and the scores have been written."""
        return self.summary is not None and self.stop is not None


def read_run(folder: Path) -> RunFiles:
    """Read a run folder.

    Raises:
        CheckpointError: it is not a run folder, or one of its files is damaged.
    """
    if not any((folder / name).is_file() for name in ("config.toml", "metrics.jsonl")):
        raise CheckpointError(
            "A report needs a run folder",
            but=f"{folder} has neither config.toml nor metrics.jsonl"
            if folder.is_dir()
            else f"{folder} is not a folder",
            fix="Choose a folder that `afina fit` made, such as runs/<time>-<name>.",
        )
    text, config = _read_config(folder / "config.toml")
    schema = read_bytes(folder / "schema.json")
    return RunFiles(
        folder=folder,
        config_text=text,
        config=config,
        begun=read_record(folder / "run.json", RunRecord),
        env=read_record(folder / "env.json", Environment),
        schema=None if schema is None else parse_object(schema, folder / "schema.json"),
        split=read_record(folder / "split.json", SplitRecord),
        metrics=read_metrics(folder / "metrics.jsonl"),
        summary=read_record(folder / "summary.json", Summary),
        trainer_settings=_read_trainer_settings(folder / "checkpoints"),
    )


def _read_trainer_settings(checkpoints: Path) -> dict[str, Any]:
    """Read the settings from the newest checkpoint that can be read."""
    for path in reversed(list_checkpoints(checkpoints)):
        # A checkpoint may be damaged, or the run that owns it may be removing it right now.
        with suppress(CheckpointError):
            data = read_bytes(path / "state.json")
            if data is not None:
                return parse_state(data, path / "state.json").settings
    return {}


def _read_config(path: Path) -> tuple[str, dict[str, Any]]:
    """Read config.toml as text and as values; both are empty if it does not exist."""
    try:
        text = (read_bytes(path) or b"").decode("utf-8")
        return text, tomllib.loads(text)
    except ValueError as reason:  # invalid UTF-8 included
        raise CheckpointError(f"{path} must be TOML", but=str(reason), fix=FIX) from None
