"""Put a run's page together: one HTML file that needs nothing but a browser."""

from pathlib import Path

from afina.errors import StorageError
from afina.report.chart import Chart, embed, library
from afina.report.columns import columns_section
from afina.report.curves import grad_norm_chart, loss_chart, lr_chart, score_chart
from afina.report.outcome import confusion_chart, scatter_chart
from afina.report.run import Run, read_run
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
from afina.report.wording import escape
from afina.storage import write_file

_HERE = Path(__file__).parent


def write_report(run: Path, out: Path | None = None) -> Path:
    """Write a run's report, one HTML file that opens offline; give its path.

    Args:
        run: the run folder, finished or not. Only its files are read.
        out: the file to write, replacing what is there; none: `report.html` in the run folder.

    Raises:
        CheckpointError: `run` is no run folder, or one of its files is damaged.
        StorageError: the file cannot be written.
    """
    goal = run / "report.html" if out is None else out
    if goal.is_dir():
        raise StorageError(
            f"A report must be written to a file, however: {goal} is a folder. "
            f"Write {goal / 'report.html'} instead."
        )
    text = make_page(read_run(run))
    # A lone surrogate, which JSON can hold and UTF-8 cannot, becomes a question mark.
    write_file(goal, text.encode("utf-8", errors="replace"))
    return goal


def make_page(run: Run) -> str:
    """Write the whole page as text."""
    target, table = target_and_table(run)
    title = f"{target} from {Path(table).name}" if target and table else run.folder.name
    body = "\n".join(
        [
            header(run),
            "<main>",
            score_section(run),
            stop_section(run),
            _curves_section(run),
            _outcome_section(run),
            columns_section(run.schema),
            settings_section(run),
            next_section(run),
            "</main>",
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)} · afina report</title>\n'
        f"<style>\n{(_HERE / 'page.css').read_text(encoding='utf-8')}</style>\n</head>\n<body>\n"
        f"{body}\n<script>{library()}</script>\n"
        f"<script>\n{(_HERE / 'draw.js').read_text(encoding='utf-8')}</script>\n</body>\n</html>\n"
    )


def _curves_section(run: Run) -> str:
    stop = run.stop if run.finished else None
    regression = run.summary is not None and run.summary.task == "regression"
    loss = loss_chart(
        run.metrics,
        stop,
        "squared error of the standardized target" if regression else "nats per row",
    )
    if loss is None:
        return "<section><h2>Training</h2><p>No epoch was finished yet.</p></section>"
    limit = run.config.get("train", {}).get("max_grad_norm", 1.0)
    small = [
        score_chart(run.metrics, stop, run.summary.score.name) if run.summary else None,
        lr_chart(run.metrics, stop),
        grad_norm_chart(run.metrics, stop, limit if isinstance(limit, int | float) else None),
    ]
    figures = "".join(_figure(chart) for chart in small if chart is not None)
    return (
        f"<section><h2>Training</h2>{_figure(loss)}"
        f'<div class="side-by-side">{figures}</div></section>'
    )


def _outcome_section(run: Run) -> str:
    summary = run.summary
    if summary is None:
        return ""
    charts: list[Chart | None] = []
    tables = [f"<h3>All scores</h3>{scores_table(summary)}"]
    if summary.confusion is not None and summary.confusion.labels:
        charts.append(confusion_chart(summary.confusion))
        tables.append(f"<h3>By class</h3>{classes_table(summary.confusion)}")
    if summary.scatter is not None:
        charts.append(scatter_chart(summary.scatter, summary.target))
    figures = "".join(_figure(chart) for chart in charts if chart is not None)
    on = "On the training rows, which it learned from."
    if summary.on == "val":
        on = "On the validation rows: the weights were not fitted to them, they chose when to stop."
    if summary.n_folds > 1:
        on = "Each row by members whose own weights were not fitted to it; all chose when to stop."
    return (
        f"<section><h2>What it gets right and wrong</h2><p>{on}</p>"
        f'<div class="outcome"><div>{figures}</div><div>{"".join(tables)}</div></div></section>'
    )


def _figure(chart: Chart) -> str:
    legend = "".join(
        f'<span class="key"><i style="background:{color}"></i>{escape(text)}</span>'
        for color, text in chart.legend
    )
    width = f"min-width:{chart.min_width}px;" if chart.min_width else ""
    wide = f' style="width:{chart.max_width}px;max-width:100%"' if chart.max_width else ""
    caption = f'<p class="note">{escape(chart.caption, 400)}</p>' if chart.caption else ""
    return (
        f'<figure id="figure-{chart.name}"{wide}><figcaption><h3>{escape(chart.title)}</h3>{legend}'
        f'</figcaption><div class="wide"><div class="chart" style="{width}" '
        f'role="img" aria-label="{escape(chart.title)}" data-spec="spec-{chart.name}"></div></div>'
        f"{caption}"
        f'<script type="application/json" id="spec-{chart.name}">{embed(chart.spec)}</script>'
        "</figure>"
    )
