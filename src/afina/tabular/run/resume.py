"""`resume_run`: continue a run, so that it ends as if it had never been interrupted."""

import hashlib
import time
import warnings
from pathlib import Path

from afina.data import shown_path
from afina.errors import AfinaWarning, CheckpointError
from afina.records.env_json import Environment
from afina.records.json_record import read_bytes, read_record, to_dict
from afina.records.run_json import RunRecord, read_run_record
from afina.records.summary_json import Summary
from afina.tabular.environment import describe_environment, name_differences
from afina.tabular.events import Finished, FitObserver
from afina.tabular.prediction.artifact import read_schema
from afina.tabular.prediction.model_folder import write_schema
from afina.tabular.preparation.prepare import Prepared
from afina.tabular.run.finish import Outcome, Run
from afina.tabular.run.fit import observe_first, read_and_plan
from afina.tabular.run.run_folder import (
    check_unchanged,
    newest_checkpoint,
    read_settings,
)
from afina.tabular.run.train_run import split_bytes, train_run
from afina.tabular.training.plan import Plan
from afina.train.processes import all_together, current_processes, naming_lost_peers


def resume_run(
    run: str | Path, *, listen: FitObserver | None = None, started: float | None = None
) -> Outcome:
    """Continue a run from its newest complete checkpoint, or from the start if it has none.

    The table is read again and must not have changed. A finished run is left unchanged.

    Args:
        run: the run folder.
        listen: an observer of every record of `afina.tabular.events` and of training.
        started: `time.monotonic()` at which `stop.time_limit` starts to count. None: now.

    Raises:
        CheckpointError: it is not a run folder, or all of its checkpoints are damaged.
        SchemaError: the table no longer exists or has changed.
        LockedError: another process is using the run.
        PeerError: another process of the run has ended, or does not respond.
    """
    folder = Path(run)
    begun = read_run_record(folder)
    finished = _read_finished(folder)
    if finished is None:
        return _continue(folder, begun, listen, time.monotonic() if started is None else started)
    warnings.warn(f"{folder} is finished; nothing was changed.", AfinaWarning, stacklevel=2)
    if listen is not None:
        listen(Finished(finished.summary))
    return finished


def _continue(
    folder: Path, begun: RunRecord, listen: FitObserver | None, started: float
) -> Outcome:
    if begun.table is None:
        raise CheckpointError(
            f"{folder} must have been made from a table file to be resumed",
            but="its rows were passed from Python",
            fix="Fit again.",
        )
    startup_s = time.monotonic() - started
    config = read_settings(folder)
    path = check_unchanged(begun.table)
    val = None if begun.val is None else check_unchanged(begun.val)
    notes = _name_differences(folder, begun)
    with current_processes() as processes, naming_lost_peers():
        observer = observe_first(listen, processes)

        def prepare_again() -> tuple[Prepared, Plan]:
            prepared, plan = read_and_plan(
                path,
                begun.target,
                config,
                val,
                observer,
                processes,
                threads=begun.threads,
                lr=begun.lr,
                more_notes=notes,
            )
            _check_same(folder, begun, prepared)
            return prepared, plan

        prepared, plan = all_together(processes, prepare_again)
        run = Run(folder, shown_path(path), config, prepared, plan, started, startup_s)
        return train_run(run, observer, processes, resumed_from=newest_checkpoint(folder) or 0)[1]


def _read_finished(folder: Path) -> Outcome | None:
    """Return the outcome of a finished run, or None if the run is unfinished."""
    summary = read_record(folder / "summary.json", Summary)
    if summary is None or not (folder / "model").is_dir():
        return None
    path = folder / "schema.json"
    schema = read_schema(read_bytes(path) or b"", str(path))
    return Outcome(folder, to_dict(summary), schema)


def _name_differences(folder: Path, begun: RunRecord) -> tuple[str, ...]:
    """Return how versions and hardware differ from those that the run began with."""
    try:
        then = read_record(folder / "env.json", Environment)
    except CheckpointError:
        then = None
    if then is None:
        return ("env.json cannot be read, so it is unknown whether versions differ",)
    return name_differences(then, describe_environment(begun.threads))


def _check_same(folder: Path, begun: RunRecord, prepared: Prepared) -> None:
    """Raise a CheckpointError unless schema and split are the same as when the run began."""
    for name, data, sha256 in (
        ("schema.json", write_schema(prepared.schema), begun.schema_sha256),
        ("split.json", split_bytes(prepared), begun.split_sha256),
    ):
        if hashlib.sha256(data).hexdigest() != sha256:
            raise CheckpointError(
                f"a run must be resumed with the {name} that it began with",
                but=f"the {name} of {folder} would now differ: config.toml was changed, or this is "
                "a different version of afina",
                fix="Restore config.toml, use the version in env.json, or fit again.",
            )
