"""Build the report of a run: one HTML file that needs nothing but a browser."""

from pathlib import Path

from markupsafe import Markup

from afina.errors import StorageError
from afina.report.chart import library
from afina.report.columns import columns_section
from afina.report.curves import grad_norm_chart, loss_chart, lr_chart, score_chart
from afina.report.outcome import confusion_chart, scatter_chart
from afina.report.run_files import RunFiles, read_run
from afina.report.sections import (
    classes_table,
    header,
    next_section,
    score_section,
    scores_table,
    settings_section,
    stop_section,
    target_and_table,
)
from afina.report.templates import fill, fill_page
from afina.report.trainer_run import trainer_sections
from afina.storage import write_file


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write a run's report, a single HTML file that opens offline, and return its path.

    Args:
        run: the run folder, finished or not. Only its files are read.
        out: the file to write; an existing file is replaced. None: `report.html` in the run folder.

    Raises:
        CheckpointError: `run` is not a run folder, or one of its files is damaged.
        StorageError: the file cannot be written.
    """
    goal = run / "report.html" if out is None else out
    if goal.is_dir():
        raise StorageError(
            "A report must be written to a file",
            but=f"{goal} is a folder",
            fix=f"Write {goal / 'report.html'} instead.",
        )
    # A lone surrogate, which JSON can hold and UTF-8 cannot, becomes a question mark.
    write_file(goal, make_page(read_run(run)).encode("utf-8", errors="replace"))
    return goal


def make_page(run: RunFiles) -> str:
    """Return the whole page as HTML."""
    if run.by_trainer:
        return _assembled(run.folder.name, trainer_sections(run))
    target, table = target_and_table(run)
    title = f"{target} from {Path(table).name}" if target and table else run.folder.name
    sections = [
        score_section(run),
        stop_section(run),
        _curves_section(run),
        _outcome_section(run),
        columns_section(run.schema),
        settings_section(run),
        next_section(run),
    ]
    return _assembled(title, [header(run), *sections])


def _assembled(title: str, sections: list[Markup]) -> str:
    """Return the page whose first section is its header."""
    main = Markup("\n").join([Markup("<main>"), *sections[1:], Markup("</main>")])
    return fill_page(title=title, body=sections[0] + main, library=library())


def _curves_section(run: RunFiles) -> Markup:
    stop = run.stop if run.finished else None
    regression = run.summary is not None and run.summary.task == "regression"
    unit = "squared error of the standardized target" if regression else "nats per row"
    loss = loss_chart(run.metrics, stop, unit)
    if loss is None:
        return fill("text", title="Training", text="No epoch has been finished yet.")
    limit = run.config.get("train", {}).get("max_grad_norm", 1.0)
    charts = [
        score_chart(run.metrics, stop, run.summary.score.name) if run.summary else None,
        lr_chart(run.metrics, stop),
        grad_norm_chart(run.metrics, stop, limit if isinstance(limit, int | float) else None),
    ]
    return fill("training", first=loss, others=[chart for chart in charts if chart is not None])


def _outcome_section(run: RunFiles) -> Markup:
    summary = run.summary
    if summary is None:
        return Markup()
    charts = []
    tables = [("All scores", scores_table(summary))]
    if summary.confusion is not None and summary.confusion.labels:
        charts.append(confusion_chart(summary.confusion))
        tables.append(("By class", classes_table(summary.confusion)))
    if summary.scatter is not None:
        charts.append(scatter_chart(summary.scatter, summary.target))
    text = "On the training rows, which the model learned from."
    if summary.on == "val":
        text = (
            "On the validation rows: the weights were not fitted to them, but they decided when "
            "training stopped."
        )
    if summary.rows.folds > 1:
        text = (
            "Each row is predicted by the members that were not fitted to it; "
            "all rows decided when to stop."
        )
    charts_drawn = [chart for chart in charts if chart is not None]
    return fill("outcome", text=text, charts=charts_drawn, tables=tables)
