"""`fit_table`: a table file in, a run folder with a model and a report out."""

import contextlib
import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from afina.config import Config, settle
from afina.data import BUNDLED_TARGET, bundled_table
from afina.errors import AfinaError, ConfigError, Interrupted, NonFiniteError, StorageError
from afina.storage import lock_folder, remove_folder
from afina.table import read_table
from afina.tabular.environment import describe_environment
from afina.tabular.events import Learned, Listener, Read, Started
from afina.tabular.prediction.artifact import write_schema
from afina.tabular.preparation.prepare import Prepared, TableOf, prepare_table
from afina.tabular.run.finish import Outcome, Run, finish_run
from afina.tabular.run.run_folder import (
    Begun,
    begin_folder,
    choose_folder,
    describe_file,
    has_checkpoint,
    write_begun,
    write_log,
    write_settings,
)
from afina.tabular.run.split_file import write_split
from afina.tabular.training.plan import Plan, make_plan, train_model
from afina.train import Result
from afina.train.processes import (
    ALONE,
    Processes,
    all_together,
    current_processes,
    naming_lost_peers,
    only_first,
)


def fit_table(
    table: Path | None,
    *,
    target: str | None,
    config: Config | None = None,
    val: Path | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    listen: Listener | None = None,
    started: float | None = None,
) -> Outcome:
    """Train a network on a table file, and write a run folder with model, scores and report.

    Nothing is written before the table was read and understood. With `overwrite`, the new run
    is made beside the old one and takes its place only when it is complete. Where torchrun
    started several processes, all read the table and train together; the first alone writes.

    Args:
        table: the file; none: the small table that ships with afina.
        target: the column to predict; none only with the table that ships with afina.
        config: all settings.
        val: a table file of validation rows; none: some rows of the table are held out.
        out: the run folder, which must not exist; none: `runs/<utc>-<name>`.
        overwrite: let the new run replace a run that is in `out`.
        listen: gets every record of `afina.tabular.events` and of training.
        started: `time.monotonic()` from which `stop.time_limit` counts; none: now.

    Returns:
        The run folder, its summary and the schema.

    Raises:
        TableError: a file cannot be read as a table.
        SchemaError: the table does not fit what was asked of it.
        StorageError: the run folder is taken or cannot be written.
        NonFiniteError: training gave a number that is not finite.
        Interrupted: SIGINT or SIGTERM came; the state was saved if there was any.
        PeerError: another process of the run ended, or does not answer.
    """
    started = time.monotonic() if started is None else started
    config = settle(config or Config())
    path, target = _what_to_fit(table, target)
    with current_processes() as processes, naming_lost_peers("Fit again."):
        told = (listen if processes.first else None) or (lambda _event: None)
        final = shared_folder(
            processes, lambda: choose_folder(out, path.name.split(".")[0], overwrite=overwrite)
        )
        prepared, plan = all_together(
            processes, lambda: read_and_plan(path, target, config, val, told, processes)
        )
        plan = replace(plan, lr=processes.broadcast_json(plan.lr))  # found by each to its last bit
        run = shared_folder(processes, lambda: _beside(final) if _is_full(final) else final)
        with contextlib.ExitStack() as stack:
            only_first(
                processes,
                lambda: stack.enter_context(
                    begin_folder(run, run_files(path, val, config, prepared, plan))
                ),
            )
            stack.enter_context(resumable(run, processes))
            if processes.first:
                write_log(run, f"began: {path}, target {target!r}, {prepared.sides.how}")
            told(Started(run, config.train.max_epochs))
            result = train_model(plan, config, run_dir=run, listen=told, started=started)
            made = Run(run, str(path), config, prepared, plan, started)
            outcome = finish_together(made, result, told, processes)
        if run != final:
            only_first(processes, lambda: _replace(final, run))
        return replace(outcome, run=final)


def finish_together(run: Run, result: Result, listen: Listener, processes: Processes) -> Outcome:
    """Let the first process write what stands at the end; give its outcome to all."""
    outcome = only_first(processes, lambda: finish_run(run, result, listen))
    summary = processes.broadcast_json(None if outcome is None else outcome.summary)
    return Outcome(run.folder, summary, run.prepared.schema)


def shared_folder(processes: Processes, choose: Callable[[], Path]) -> Path:
    """Let the first process choose a folder, and all take it."""
    return Path(processes.broadcast_json(os.fspath(only_first(processes, choose) or "")))


def read_and_plan(
    path: Path,
    target: str,
    config: Config,
    val: Path | None,
    listen: Listener,
    processes: Processes = ALONE,
    *,
    threads: int | None = None,
    lr: float | None = None,
    more_notes: tuple[str, ...] = (),
) -> tuple[Prepared, Plan]:
    """Do everything up to training: a function of the files and the settings alone."""
    given = _read(path, config, listen)
    held_out = None if val is None else _read(val, config, listen)
    prepared = prepare_table(given, target, config, held_out)
    plan = make_plan(
        prepared.train,
        prepared.val,
        schema=prepared.schema,
        n_classes=len(prepared.classes),
        config=config,
        threads=threads,
        lr=lr,
    )
    if threads is None and isinstance(config.train.threads, str):
        plan = replace(plan, threads=max(1, plan.threads // processes.n_processes))
    listen(
        Learned(
            schema=prepared.schema,
            target=target,
            task=prepared.task,
            n_train=len(prepared.train),
            n_val=0 if prepared.val is None else len(prepared.val),
            n_left_out=prepared.n_left_out,
            how_split=prepared.sides.how,
            notes=(*prepared.notes, *plan.notes, *more_notes),
            n_parameters=plan.built.n_parameters,
            threads=plan.threads,
            batch_size=plan.batch_size,
            n_folds=plan.built.spec.folds,
        )
    )
    return prepared, plan


def run_files(
    path: Path | None, val: Path | None, config: Config, prepared: Prepared, plan: Plan
) -> dict[str, bytes]:
    """Return what the run folder holds before training; run.json last, as it makes it a run."""
    schema, split = write_schema(prepared.schema), split_bytes(prepared)
    begun = Begun(
        table=None if path is None else describe_file(path),
        val=None if val is None else describe_file(val),
        target=prepared.target,
        threads=plan.threads,
        batch_size=plan.batch_size,
        lr=plan.lr,
        schema_sha256=hashlib.sha256(schema).hexdigest(),
        split_sha256=hashlib.sha256(split).hexdigest(),
    )
    environment = json.dumps(describe_environment(plan.threads), indent=1).encode() + b"\n"
    return {
        "config.toml": write_settings(config),
        "env.json": environment,
        "schema.json": schema,
        "split.json": split,
        "run.json": write_begun(begun),
    }


def split_bytes(prepared: Prepared) -> bytes:
    """Encode split.json."""
    sides = prepared.sides
    return write_split(sides.train, sides.val, prepared.n_rows, sides.how, sides.folds)


@contextlib.contextmanager
def resumable(run: Path, processes: Processes = ALONE) -> Iterator[None]:
    """Say with every failure what is left of the run, and how to go on."""
    log = write_log if processes.first else _write_nothing
    try:
        with naming_lost_peers():
            yield
    except (AfinaError, Interrupted) as error:
        log(run, f"stopped: {error}")
        resumes = has_checkpoint(run)
        if isinstance(error, NonFiniteError):
            error.add_fix("Row numbers count rows after identical ones were merged.")
            if resumes:
                error.add_fix(f"Its checkpoints stay in {run}.")
        elif resumes:
            error.add_fix(f"Continue with: afina resume {run}")
        raise
    except KeyboardInterrupt:
        if not has_checkpoint(run):
            raise
        log(run, "stopped while results were written")
        message = f"Stopped while results were written. Continue with: afina resume {run}"
        raise Interrupted(message, signal.SIGINT) from None


def _what_to_fit(table: Path | None, target: str | None) -> tuple[Path, str]:
    if table is None:
        return bundled_table(), target or BUNDLED_TARGET
    if target is None:
        raise ConfigError(
            "target must name the column to predict, however: none was given. "
            "Say --target COL (in Python: target=...)."
        )
    return Path(table), target


def _read(path: Path, config: Config, listen: Listener) -> TableOf:
    table = read_table(path, delimiter=config.table.delimiter, encoding=config.table.encoding)
    listen(Read(str(path), table.num_rows, table.num_columns))
    return TableOf(table, str(path))


def _write_nothing(_run: Path, _line: str) -> None:
    """Leave the log to the first process."""


def _is_full(folder: Path) -> bool:
    return folder.exists() and any(folder.iterdir())


def _beside(final: Path) -> Path:
    """Name a folder for a run that will take another one's place."""
    with lock_folder(final):  # refuses while somebody is training there
        return final.with_name(f"{final.name}.new-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}")


def _replace(final: Path, run: Path) -> None:
    """Put a complete run where the old one was."""
    try:
        with lock_folder(final):
            remove_folder(final)
        run.rename(final)
    except OSError as error:
        raise StorageError(
            f"{final} must give way to the new run, however: {error}. "
            f"The new run is complete in {run}."
        ) from error
