"""Finish a run after training: write the model, the summary and the report."""

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afina.config import Config
from afina.errors import AfinaError, AfinaWarning
from afina.records.json_record import to_dict, write_record
from afina.records.metrics_jsonl import StopRecord
from afina.records.summary_json import RowCounts, Summary
from afina.storage import commit_folder, lock_folder, remove_folder, sweep, write_file
from afina.table import Features, Schema
from afina.tabular.events import Finished, FitObserver
from afina.tabular.prediction.model_record import FORMAT, ModelRecord
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.preparation.prepare import Prepared
from afina.tabular.run.run_folder import write_log, write_settings
from afina.tabular.scoring import judge, learn_baseline
from afina.tabular.training.plan import Plan
from afina.train import Result


@dataclass(frozen=True)
class Outcome:
    """The result of a fit.

    Args:
        run: the run folder.
        summary: the content of `summary.json`.
        schema: how each column is read.
    """

    run: Path
    summary: dict[str, Any]
    schema: Schema


@dataclass(frozen=True)
class Run:
    """A run whose training has ended.

    Args:
        folder: the run folder.
        table: the table's name.
        started: `time.monotonic()` when the run began or was resumed.
        can_resume: whether the table can be read again.
    """

    folder: Path
    table: str
    config: Config
    prepared: Prepared
    plan: Plan
    started: float
    can_resume: bool = True


def finish_run(run: Run, result: Result, listen: FitObserver) -> Outcome:
    """Write the model, the summary and the report; summary.json marks a finished run."""
    prepared = run.prepared
    predictor = make_predictor(prepared, run.plan, run.config)
    summary = summarize(run, predictor, result)
    with lock_folder(run.folder):
        sweep(run.folder)
        if (run.folder / "model").exists():  # the run was killed between model and summary
            remove_folder(run.folder / "model")
        commit_folder(run.folder / "model", predictor.files())
        write_file(run.folder / "summary.json", write_record(summary))
        _report(run.folder)
    score = summary.score
    write_log(run.folder, f"finished: {result.stop.why}; {score.name} {score.value}")
    content = to_dict(summary)
    listen(Finished(content))
    return Outcome(run.folder, content, prepared.schema)


def _report(folder: Path) -> None:
    """Write the report; the model is already saved, so a failure is only a warning."""
    try:
        from afina.report import write_report  # loads the chart library

        write_report(folder)
    except (AfinaError, OSError) as error:
        warnings.warn(
            f"The report could not be written: {error} Try again with: afina report {folder}",
            AfinaWarning,
            stacklevel=2,
        )


def make_predictor(prepared: Prepared, plan: Plan, config: Config) -> Predictor:
    """Join the trained model with its schema and the facts about its target."""
    from afina import __version__

    record = ModelRecord(
        format=FORMAT,
        by="afina",
        version=__version__,
        preprocess=plan.config.preprocess,
        model=plan.config.model,
        learned=plan.built.shape,
        task=prepared.task,
        target=prepared.target,
        classes=prepared.classes,
        n_train=len(prepared.train),
        n_val=0 if prepared.val is None else len(prepared.val),
        weight=config.table.weight,
        group=config.table.group,
        missing_values=config.table.missing_values,
        delimiter=config.table.delimiter,
        encoding=config.table.encoding,
        **vars(learn_baseline(prepared.train, len(prepared.classes))),
    )
    return Predictor(plan.built.model, prepared.schema, record, write_settings(config))


def summarize(run: Run, predictor: Predictor, result: Result) -> Summary:
    """Score the model on the validation rows, or on the training rows if there are none."""
    prepared, facts = run.prepared, predictor.facts
    rows = prepared.train if prepared.val is None else prepared.val
    predictions = predictor.predict_features(
        Features(rows.x_num, rows.x_cat, rows.x_time), "the table", rows.folds
    )
    verdict = judge(predictions, rows, facts.baseline, facts.classes)
    return Summary(
        task=prepared.task,
        target=prepared.target,
        table=run.table,
        rows=RowCounts(
            train=facts.n_train,
            val=facts.n_val,
            left_out=prepared.n_left_out,
            folds=run.plan.built.shape.folds,
        ),
        on="train" if prepared.val is None else "val",
        score=verdict.score,
        scores=dict(verdict.scores),
        baseline_scores=dict(verdict.baseline_scores),
        confusion=verdict.confusion,
        scatter=verdict.scatter,
        stop=StopRecord(**result.stop._asdict()),
        seconds=round(time.monotonic() - run.started, 3),
    )
