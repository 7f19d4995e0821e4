"""The estimators' fit: train a predictor on rows passed from Python."""

import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from afina.config import Config
from afina.errors import AfinaWarning
from afina.process_state import plain_torch
from afina.storage import claim_folder
from afina.tabular.events import FitObserver
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.preparation.given import Given
from afina.tabular.preparation.prepare import prepare
from afina.tabular.run.fallback import settle_model
from afina.tabular.run.finish import Run, make_predictor
from afina.tabular.run.run_folder import begin_folder
from afina.tabular.run.train_run import plan_run, run_files, train_run
from afina.tabular.training.plan import train_model
from afina.train import Result

_SOURCE = "rows passed from Python"


@dataclass(frozen=True)
class Fitted:
    """The outcome of a fit in memory.

    Args:
        predictor: the model.
        result: how training went.
        notes: sentences about choices that users might not expect.
        run_dir: the folder that the run was written to. None: nothing was written.
    """

    predictor: Predictor
    result: Result
    notes: tuple[str, ...]
    run_dir: Path | None


def fit_rows(
    given: Given,
    val: Given | None,
    *,
    config: Config,
    run_dir: Path | None,
    listen: FitObserver,
) -> Fitted:
    """Train on rows in memory, as `fit_table` trains on the rows of a file.

    The run folder is complete, but the run cannot be resumed, because its rows came from Python.

    Args:
        given: the training rows; some of them are held out if `val` is None.
        val: rows that decide when to stop. None: hold out some of the given rows.
        config: all settings.
        run_dir: folder for the run; if it is not empty, a numbered folder inside it. None: write
            nothing.
        listen: an observer of training.
    """
    started = time.monotonic()
    with plain_torch():
        return _fit_rows(given, val, config, run_dir, listen, started)


def _fit_rows(
    given: Given,
    val: Given | None,
    config: Config,
    run_dir: Path | None,
    listen: FitObserver,
    started: float,
) -> Fitted:
    prepared = prepare(given, val, config)
    plan = plan_run(prepared, config)
    folder, notes = run_dir, plan.notes
    if run_dir is None:
        result = train_model(plan, listen=listen, started=started)
        predictor = make_predictor(prepared, plan, config)
        settled = settle_model(predictor, prepared, config, result.stop)
        predictor, remark = settled.predictor, settled.remark
    else:
        files = run_files(None, None, config, prepared, plan)
        folder, new_folders = claim_folder(run_dir)
        if folder != run_dir:
            notes = (*notes, f"{run_dir} is not empty, so this run is in {folder}")
        run = Run(folder, _SOURCE, config, prepared, plan, started, can_resume=False)
        with begin_folder(folder, files, new_folders=new_folders):
            result, outcome = train_run(run, listen)
        predictor = make_predictor(prepared, plan, config)
        lacked_time = outcome.summary["model"] == "constant" or result.stop.epoch == 0
        remark = outcome.summary["score"]["caution"] if lacked_time else ""
    if remark:
        warnings.warn(remark, AfinaWarning, stacklevel=5)
        notes = (*notes, remark)
    return Fitted(predictor, result, notes, folder)
