"""`fit_table`: turn a table file into a run folder with a model and a report."""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from afina.config import Config, check_config
from afina.data import BUNDLED_TARGET, bundled_table, shown_path
from afina.errors import ConfigError, StorageError
from afina.storage import lock_folder, remove_folder
from afina.table import is_stdin, read_table, table_name
from afina.tabular.events import FitObserver, Learned, Read
from afina.tabular.preparation.given import Given, take_columns
from afina.tabular.preparation.prepare import Prepared, prepare
from afina.tabular.preparation.roles import choose_roles
from afina.tabular.run.finish import Outcome, Run
from afina.tabular.run.run_folder import begin_folder, choose_folder
from afina.tabular.run.train_run import plan_run, run_files, train_run
from afina.tabular.training.plan import Plan
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
    listen: FitObserver | None = None,
    started: float | None = None,
) -> Outcome:
    """Train a network on a table file, and write a run folder with model, scores and report.

    Nothing is written until the table has been read and its schema learned. With `overwrite`, the
    new run is written next to the old one and replaces it once complete. If torchrun has started
    several processes, all of them read the table and train together; only the first one writes.

    Args:
        table: the file; `-` is standard input. None: the small table that ships with afina.
        target: the column to predict. None: only with the table that ships with afina.
        config: all settings.
        val: a table file of validation rows. None: hold out some rows of the table.
        out: the run folder, which must not exist yet. None: `runs/<utc>-<name>`.
        overwrite: let the new run replace an existing run in `out`.
        listen: an observer of every record of `afina.tabular.events` and of training.
        started: `time.monotonic()` at which `stop.time_limit` starts to count. None: now.

    Returns:
        The run folder, its summary and the schema.

    Raises:
        TableError: a file cannot be read as a table.
        SchemaError: the table does not fit the settings.
        StorageError: the run folder is in use or cannot be written.
        NonFiniteError: training produced a number that is not finite.
        Interrupted: SIGINT or SIGTERM arrived; the state was saved if training had begun.
        PeerError: another process of the run has ended, or does not respond.
    """
    called = time.monotonic()
    started = called if started is None else started
    config = config or Config()
    check_config(config)
    path, target = _choose_table(table, target)
    with current_processes() as processes, naming_lost_peers("Fit again."):
        observer = observe_first(listen, processes)
        _check_stdin(path, val, processes)
        name = Path(table_name(path)).name.split(".")[0]
        final = _share_folder(processes, lambda: choose_folder(out, name, overwrite=overwrite))
        prepared, plan = all_together(
            processes, lambda: read_and_plan(path, target, config, val, observer, processes)
        )
        plan = plan.with_train(
            lr=processes.broadcast_json(plan.lr)
        )  # the last bit may differ between processes
        folder = _share_folder(
            processes, lambda: _beside(final) if final.exists() and any(final.iterdir()) else final
        )
        run = Run(
            folder,
            shown_path(table_name(path)),
            config,
            prepared,
            plan,
            started,
            called - started,
            can_resume=not (is_stdin(path) or is_stdin(val)),
        )
        with contextlib.ExitStack() as stack:
            only_first(
                processes,
                lambda: stack.enter_context(
                    begin_folder(folder, run_files(path, val, config, prepared, plan))
                ),
            )
            _, outcome = train_run(run, observer, processes)
        if folder != final:
            only_first(processes, lambda: _replace(final, folder))
        return replace(outcome, run=final)


def read_and_plan(
    path: Path,
    target: str,
    config: Config,
    val: Path | None,
    observer: FitObserver,
    processes: Processes = ALONE,
    *,
    threads: int | None = None,
    lr: float | None = None,
    more_notes: tuple[str, ...] = (),
) -> tuple[Prepared, Plan]:
    """Do everything up to training, which depends only on the files and the settings."""
    given = _read(path, target, config, observer, held_out=False)
    held_out = None if val is None else _read(val, target, config, observer, held_out=True)
    prepared = prepare(given, held_out, config)
    plan = plan_run(prepared, config, threads=threads, lr=lr)
    if threads is None and isinstance(config.train.threads, str):
        plan = plan.with_train(threads=max(1, plan.threads // processes.n_processes))
    observer(_describe(prepared, plan, more_notes))
    return prepared, plan


def observe_first(listen: FitObserver | None, processes: Processes) -> FitObserver:
    """Return the observer in the first process, and one that does nothing in the others."""
    return listen if listen is not None and processes.first else lambda _event: None


def _describe(prepared: Prepared, plan: Plan, more_notes: tuple[str, ...]) -> Learned:
    return Learned(
        schema=prepared.schema,
        target=prepared.target,
        task=prepared.task,
        n_train=len(prepared.train),
        n_val=0 if prepared.val is None else len(prepared.val),
        n_left_out=prepared.n_left_out,
        how_split=prepared.sides.how,
        notes=(*plan.notes, *more_notes),
        n_parameters=plan.built.n_parameters,
        threads=plan.threads,
        batch_size=plan.batch_size,
        n_folds=plan.built.shape.folds,
    )


def _share_folder(processes: Processes, choose: Callable[[], Path]) -> Path:
    """Let the first process choose the folder for all of them."""
    return Path(processes.broadcast_json(os.fspath(only_first(processes, choose) or "")))


def _choose_table(table: Path | None, target: str | None) -> tuple[Path, str]:
    if table is None:
        return bundled_table(), target or BUNDLED_TARGET
    if target is None:
        raise ConfigError(
            "target must name the column to predict",
            but="none was given",
            fix="Add --target COL (in Python: target=...).",
        )
    return Path(table), target


def _check_stdin(path: Path, val: Path | None, processes: Processes) -> None:
    """Raise a ConfigError if standard input would have to be read twice."""
    if not (is_stdin(path) or is_stdin(val)):
        return
    reason = None
    if is_stdin(path) and is_stdin(val):
        reason = "both the table and the validation rows are -"
    if processes.n_processes > 1:
        reason = f"{processes.n_processes} processes need it"
    if reason is not None:
        raise ConfigError(
            "stdin can be read only once, by one process",
            but=reason,
            fix="Save the table as a file, and pass the path of the file.",
        )


def _read(
    path: Path, target: str, config: Config, observer: FitObserver, *, held_out: bool
) -> Given:
    table = read_table(path, delimiter=config.table.delimiter, encoding=config.table.encoding)
    source = shown_path(table_name(path))
    observer(Read(source, table.num_rows, table.num_columns))
    return take_columns(table, choose_roles(target, config.table), source, held_out=held_out)


def _beside(final: Path) -> Path:
    """Name a folder for a run that will replace another one."""
    with lock_folder(final):  # raises while another process trains there
        return final.with_name(f"{final.name}.new-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}")


def _replace(final: Path, folder: Path) -> None:
    """Replace the old run with the complete new one."""
    try:
        with lock_folder(final):
            remove_folder(final)
        folder.rename(final)
    except OSError as error:
        raise StorageError(
            f"the new run must replace {final}",
            but=f"that failed: {error}",
            fix=f"The new run is complete in {folder}; move it there by hand.",
        ) from error
