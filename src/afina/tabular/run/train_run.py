"""The steps that fits from files and from Python share: plan, train, finish."""

import contextlib
import hashlib
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from afina.config import Config
from afina.errors import AfinaError, Interrupted, NonFiniteError
from afina.records.json_record import write_record
from afina.records.run_json import RunRecord
from afina.tabular.environment import describe_environment
from afina.tabular.events import FitObserver, Started
from afina.tabular.prediction.model_folder import write_schema
from afina.tabular.preparation.prepare import Prepared
from afina.tabular.run.finish import Outcome, Run, finish_run
from afina.tabular.run.run_folder import (
    describe_file,
    has_checkpoint,
    write_log,
    write_settings,
)
from afina.tabular.run.split_file import write_split
from afina.tabular.training.plan import Plan, make_plan, train_model
from afina.train import Result
from afina.train.processes import ALONE, Processes, naming_lost_peers, only_first


def plan_run(
    prepared: Prepared, config: Config, *, threads: int | None = None, lr: float | None = None
) -> Plan:
    """Fit preprocessing and build the network; its notes include those about the rows.

    Args:
        prepared: the rows.
        config: all settings.
        threads: number of threads of the run to resume. None: follow the settings.
        lr: learning rate found by the run to resume. None: follow the settings.
    """
    plan = make_plan(
        prepared.train,
        prepared.val,
        schema=prepared.schema,
        n_classes=len(prepared.classes),
        config=config,
        observations=prepared.sides.observations,
        threads=threads,
        lr=lr,
    )
    return replace(plan, notes=(*prepared.notes, *plan.notes))


def train_run(
    run: Run,
    observer: FitObserver,
    processes: Processes = ALONE,
    *,
    resumed_from: int | None = None,
) -> tuple[Result, Outcome]:
    """Train a run whose folder exists, then write its model, summary and report.

    Args:
        run: the run.
        observer: called with every record of training, and with `Finished`.
        processes: the processes of the run; all train, the first one writes.
        resumed_from: step of the newest checkpoint, 0 for the start. None: a new run.
    """
    with _explaining_failures(run, processes):
        if processes.first:
            write_log(run.folder, _first_line(run, resumed_from))
        n_epochs = run.config.train.max_epochs
        observer(Started(run.folder, n_epochs, resumed_from, run.can_resume))
        result = train_model(
            run.plan,
            run_dir=run.folder,
            listen=observer,
            started=run.started,
            startup_s=run.startup_s,
            resume=resumed_from is not None,
            processes=processes,
        )
        outcome = only_first(processes, lambda: finish_run(run, result, observer))
        summary = processes.broadcast_json(None if outcome is None else outcome.summary)
        return result, Outcome(run.folder, summary, run.prepared.schema)


def run_files(
    path: Path | None, val: Path | None, config: Config, prepared: Prepared, plan: Plan
) -> dict[str, bytes]:
    """Return the files of a run folder before training; run.json comes last and makes it a run.

    Args:
        path: the table's file. None: the rows were passed from Python.
        val: the file of validation rows, if there is one.
        config: all settings.
        prepared: the rows.
        plan: the model.
    """
    schema, split = write_schema(prepared.schema), split_bytes(prepared)
    record = RunRecord(
        table=None if path is None else describe_file(path),
        val=None if val is None else describe_file(val),
        target=prepared.target,
        threads=plan.threads,
        batch_size=plan.batch_size,
        lr=plan.lr,
        schema_sha256=hashlib.sha256(schema).hexdigest(),
        split_sha256=hashlib.sha256(split).hexdigest(),
    )
    return {
        "config.toml": write_settings(config),
        "env.json": write_record(describe_environment(plan.threads)),
        "schema.json": schema,
        "split.json": split,
        "run.json": write_record(record),
    }


def split_bytes(prepared: Prepared) -> bytes:
    """Encode split.json."""
    sides = prepared.sides
    return write_split(sides.train, sides.val, prepared.n_rows, sides.how, sides.folds)


def _first_line(run: Run, resumed_from: int | None) -> str:
    if resumed_from is None:
        return f"began: {run.table}, target {run.prepared.target!r}, {run.prepared.sides.how}"
    return f"resumed from {f'step {resumed_from}' if resumed_from else 'the start'}"


@contextlib.contextmanager
def _explaining_failures(run: Run, processes: Processes) -> Iterator[None]:
    """Add to every error what remains of the run, and how to continue it."""
    log = write_log if processes.first else lambda *_: None
    folder = run.folder
    try:
        with naming_lost_peers():
            yield
    except (AfinaError, Interrupted) as error:
        log(folder, f"stopped: {error}")
        saved = has_checkpoint(folder)
        if isinstance(error, NonFiniteError):
            error.add_fix("Row numbers refer to the rows after identical rows were merged.")
            if saved:
                error.add_fix(f"The run's checkpoints stay in {folder}.")
        elif saved and run.can_resume:
            error.add_fix(f"Continue with: afina resume {folder}")
        elif saved:
            error.add_fix(f"A run on {run.table} cannot be resumed: fit again.")
        raise
    except KeyboardInterrupt:
        if not has_checkpoint(folder) or not run.can_resume:
            raise
        log(folder, "stopped while results were being written")
        raise Interrupted(
            f"Stopped while results were being written. Continue with: afina resume {folder}",
            signal.SIGINT,
        ) from None
