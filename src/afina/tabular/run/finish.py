"""Finish a run after training: write the model, the summary and the report."""

import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from afina.config import Config
from afina.errors import AfinaError, AfinaWarning
from afina.records.json_record import to_dict, write_record
from afina.records.metrics_jsonl import StopRecord
from afina.records.summary_json import RowCounts, Summary
from afina.storage import commit_folder, lock_folder, remove_folder, sweep, write_file
from afina.table import Schema
from afina.tabular.events import Finished, FitObserver
from afina.tabular.prediction.artifact import model_files
from afina.tabular.prediction.model_record import Facts
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.preparation.prepare import Prepared
from afina.tabular.run.fallback import Settled, predict_rows, settle_model
from afina.tabular.run.run_folder import write_log, write_settings
from afina.tabular.scoring import choose_headline, judge, learn_baseline
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
        startup_s: seconds from then until the fit was called: how long Python took to start.
    """

    folder: Path
    table: str
    config: Config
    prepared: Prepared
    plan: Plan
    started: float
    startup_s: float = 0.0


def finish_run(run: Run, result: Result, listen: FitObserver) -> Outcome:
    """Write the model, the summary and the report; summary.json marks a finished run."""
    prepared = run.prepared
    predictor = make_predictor(prepared, run.plan, run.config)
    settled = settle_model(predictor, prepared, run.config, result.stop)
    summary = summarize(run, settled, result)
    files = model_files(
        run.plan.built,
        run.plan.config,
        prepared.schema,
        settled.predictor.facts,
        write_settings(run.config),
    )
    with lock_folder(run.folder):
        sweep(run.folder)
        if (run.folder / "model").exists():  # the run was killed between model and summary
            remove_folder(run.folder / "model")
        commit_folder(run.folder / "model", files)
        write_file(run.folder / "summary.json", write_record(summary))
        _report(run.folder)
        summary = replace(summary, seconds=_seconds_since(run.started))  # with the report
        write_file(run.folder / "summary.json", write_record(summary))
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
    n_classes = len(prepared.classes)
    baseline = learn_baseline(prepared.train, n_classes)
    weighted = config.table.class_weight is not None
    headline = choose_headline(n_classes, baseline, config.stop.metric, weighted=weighted)
    usual = choose_headline(n_classes, baseline)
    facts = Facts(
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
        metric=config.stop.metric or (None if headline == usual else headline),
        **vars(baseline),
    )
    return Predictor(plan.built.model, prepared.schema, facts)


def summarize(run: Run, settled: Settled, result: Result) -> Summary:
    """Score the model on the validation rows, or on the training rows if there are none."""
    prepared, facts = run.prepared, settled.predictor.facts
    rows = prepared.train if prepared.val is None else prepared.val
    predictions = settled.predictions
    if predictions is None:
        predictions = predict_rows(settled.predictor, rows)
    verdict = judge(predictions, rows, facts.baseline, facts.classes, facts.metric)
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
        score=replace(verdict.score, caution=settled.remark or verdict.score.caution),
        scores=dict(verdict.scores),
        baseline_scores=dict(verdict.baseline_scores),
        confusion=verdict.confusion,
        scatter=verdict.scatter,
        stop=StopRecord(**result.stop._asdict()),
        model="constant" if settled.is_constant else "network",
        seconds=_seconds_since(run.started),
    )


def _seconds_since(started: float) -> float:
    return round(time.monotonic() - started, 3)
