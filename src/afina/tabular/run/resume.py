"""`resume_run`: an interrupted run goes on and ends as if it had not been interrupted."""

import hashlib
import json
import time
import warnings
from pathlib import Path
from typing import Any

from afina.errors import AfinaWarning, CheckpointError
from afina.tabular.environment import describe_environment, name_differences
from afina.tabular.events import Finished, Listener, Started
from afina.tabular.prediction.artifact import read_schema, write_schema
from afina.tabular.preparation.prepare import Prepared
from afina.tabular.run.finish import Outcome, Run
from afina.tabular.run.fit import finish_together, read_and_plan, resumable, split_bytes
from afina.tabular.run.run_folder import (
    Begun,
    check_unchanged,
    newest_checkpoint,
    read_begun,
    read_settings,
    write_log,
)
from afina.tabular.training.plan import Plan, train_model
from afina.train.processes import all_together, current_processes, naming_lost_peers


def resume_run(run: str | Path, *, listen: Listener | None = None) -> Outcome:
    """Go on with a run from its newest whole checkpoint, or from the start if it has none.

    The table is read again and must not have changed. A finished run is left as it is.

    Raises:
        CheckpointError: it is no run folder, or all of its checkpoints are damaged.
        SchemaError: the table is gone or changed.
        LockedError: another process is working on it.
        PeerError: another process of the run ended, or does not answer.
    """
    folder = Path(run)
    begun = read_begun(folder)
    finished = _read_finished(folder)
    if finished is None:
        return _go_on(folder, begun, listen)
    warnings.warn(f"{folder} is finished; nothing was changed.", AfinaWarning, stacklevel=2)
    if listen is not None:
        listen(Finished(finished.summary))
    return finished


def _go_on(folder: Path, begun: Begun, listen: Listener | None) -> Outcome:
    started = time.monotonic()
    if begun.table is None:
        raise CheckpointError(
            f"{folder} must have been made from a table file to be resumed, however: its rows "
            "were passed from Python. Fit again."
        )
    config = read_settings(folder)
    path = check_unchanged(begun.table)
    val = None if begun.val is None else check_unchanged(begun.val)
    notes = _what_differs(folder, begun)
    with current_processes() as processes, naming_lost_peers():
        told = (listen if processes.first else None) or (lambda _event: None)

        def prepare() -> tuple[Prepared, Plan]:
            found = read_and_plan(
                path,
                begun.target,
                config,
                val,
                told,
                processes,
                threads=begun.threads,
                lr=begun.lr,
                more_notes=notes,
            )
            _check_same(folder, begun, found[0])
            return found

        prepared, plan = all_together(processes, prepare)
        with resumable(folder, processes):
            step = newest_checkpoint(folder)
            if processes.first:
                start = "the start" if step is None else f"step {step}"
                write_log(folder, f"resumed from {start}")
            told(Started(folder, config.train.max_epochs, step or 0))
            result = train_model(
                plan, config, run_dir=folder, listen=told, started=started, resume=True
            )
            made = Run(folder, str(path), config, prepared, plan, started)
            return finish_together(made, result, told, processes)


def _read_finished(folder: Path) -> Outcome | None:
    """Read a finished run's outcome; none while it is unfinished."""
    if not (folder / "summary.json").exists() or not (folder / "model").is_dir():
        return None
    try:
        summary: dict[str, Any] = dict(json.loads((folder / "summary.json").read_bytes()))
        schema = read_schema((folder / "schema.json").read_bytes(), f"{folder / 'schema.json'}")
    except (OSError, ValueError, TypeError, RecursionError) as reason:
        raise CheckpointError(
            f"{folder} must be a whole run folder, however: its summary cannot be read ({reason})."
        ) from None
    return Outcome(folder, summary, schema)


def _what_differs(folder: Path, begun: Begun) -> tuple[str, ...]:
    try:
        then = json.loads((folder / "env.json").read_bytes())
        return name_differences(then, describe_environment(begun.threads))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ("env.json cannot be read, so it is not known whether versions differ",)


def _check_same(folder: Path, begun: Begun, prepared: Prepared) -> None:
    """Raise a CheckpointError unless schema and split came out as when the run began."""
    for name, data, wanted in (
        ("schema.json", write_schema(prepared.schema), begun.schema_sha256),
        ("split.json", split_bytes(prepared), begun.split_sha256),
    ):
        if hashlib.sha256(data).hexdigest() != wanted:
            raise CheckpointError(
                f"A run is resumed as it was begun, however: {name} of {folder} comes out "
                "differently now; config.toml was changed, or afina is another version. "
                "Put it back, or fit anew."
            )
