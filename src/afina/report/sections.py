"""The parts of the page that are text: what it is, how good, why it stopped, what next."""

import json
import shlex
from typing import Any

from afina.report.run import Run
from afina.report.summary import Confusion, Score, Summary
from afina.report.wording import escape, figure, pair, seconds

_TASKS = {"binary": "two classes", "multiclass": "several classes", "regression": "regression"}
_MANY_CLASSES = 15


IN_TURNS = (
    "Each row was scored by those members alone that had left it out; the model averages all of "
    "its members."
)


def header(run: Run) -> str:
    """Write the title: target, table, task, rows."""
    target, table = target_and_table(run)
    facts: list[str] = []
    if run.summary is not None:
        summary = run.summary
        facts.append(_task(summary))
        if summary.n_folds > 1:
            facts.append(f"{summary.n_train:,} rows in {summary.n_folds} folds")
        else:
            facts.append(f"{summary.n_train:,} training rows")
            facts.append(f"{summary.n_val:,} validation rows")
        if summary.n_left_out:
            facts.append(f"{summary.n_left_out:,} rows left out")
    else:
        facts.append("unfinished run")
    title = f"<span>{escape(target)}</span>" if target else escape(run.folder.name)
    of = f" <small>from {escape(_file_name(table))}</small>" if table else ""
    return (
        f'<header><p class="brand">afina report</p><h1>{title}{of}</h1>'
        f'<p class="facts">{" · ".join(map(escape, facts))}</p></header>'
    )


def target_and_table(run: Run) -> tuple[str, str]:
    """Find what was learned from which table; empty where the run does not say."""
    if run.summary is not None:
        return run.summary.target, run.summary.table
    table = run.begun.get("table")
    path = table.get("path") if isinstance(table, dict) else ""
    return str(run.begun.get("target") or ""), str(path or "")


def score_section(run: Run) -> str:
    """Write the score beside its baseline, in large type and in a sentence."""
    if not run.finished or run.summary is None:
        return _unfinished(run)
    summary, score = run.summary, run.summary.score
    value, baseline = pair(score.value, score.baseline)
    on = "validation" if summary.on == "val" else "training"
    n = summary.n_val if summary.on == "val" else summary.n_train
    name, baseline_is = escape(score.name), escape(score.baseline_is)
    aside = "" if on == "validation" else " No rows were held out, so new rows may score worse."
    if summary.n_folds > 1:
        aside = " " + IN_TURNS
    return (
        '<section class="score"><div class="big">'
        f'<p><b class="model">{value}</b><span>{name} of the model</span></p>'
        f"<p><b>{baseline}</b><span>{baseline_is}</span></p></div>"
        f"<p>On {n:,} {on} rows the model has {name} {value}; the baseline "
        f"({baseline_is}) has {baseline}. {_verdict(score)}{aside}</p></section>"
    )


def _verdict(score: Score) -> str:
    if score.value is None:
        return "On these rows the score has no finite value."
    if score.baseline is None:
        return ""
    better = score.value - score.baseline
    if not score.higher_is_better:
        better = -better
    if better > 0:
        return f"The model is {figure(better, 2)} better."
    return "<strong>The model is no better than its baseline.</strong>"


def _unfinished(run: Run) -> str:
    metrics = run.metrics
    text = f"So far: {metrics.epoch:,} epochs, {metrics.step:,} steps."
    losses = metrics.val.get("val/loss")
    if losses is not None and losses.finite():
        text += f" The lowest validation loss is {figure(min(losses.finite()), 4)}."
    return (
        '<section class="unfinished"><h2>This run is unfinished</h2>'
        f"<p>{text} It is still training, or was stopped before its end; "
        "<code>afina resume</code> continues it (see below).</p></section>"
    )


def stop_section(run: Run) -> str:
    """Write why training ended, and which weights are the model's."""
    stop = run.stop
    if stop is None:
        return ""
    why = (stop.why or stop.reason or "It does not say.").strip()
    parts = [escape(why, 400) + ("" if why[-1] in ".!?" else ".")]
    if stop.best_epoch is not None:
        value = f", where {escape(stop.monitor)} was {figure(stop.best, 4)}" if stop.monitor else ""
        parts.append(f"The model has the weights of epoch {stop.best_epoch:,}{value}.")
    else:
        parts.append("No rows were held out, so the model has the last weights.")
    parts.append(f"Training went to epoch {stop.epoch:,}, step {stop.step:,}")
    parts[-1] += "."
    if run.summary is not None and run.summary.seconds is not None:
        parts[-1] = parts[-1][:-1] + f", and took {seconds(run.summary.seconds)}."
    return f"<section><h2>Why it stopped</h2><p>{' '.join(parts)}</p></section>"


def scores_table(summary: Summary) -> str:
    """Write every score beside the baseline's."""
    names = list(summary.scores) + [n for n in summary.baseline_scores if n not in summary.scores]
    rows = []
    for name in names:
        cells = [
            figure(scores[name], 4) if name in scores else ""
            for scores in (summary.scores, summary.baseline_scores)
        ]
        rows.append(
            f'<tr><th scope="row">{escape(name)}</th>'
            + "".join(f'<td class="number">{cell}</td>' for cell in cells)
            + "</tr>"
        )
    return (
        '<table><thead><tr><th scope="col">Score</th><th scope="col" class="number">Model</th>'
        f'<th scope="col" class="number">Baseline</th></tr></thead><tbody>{"".join(rows)}</tbody>'
        f'</table><p class="note">Baseline: {escape(summary.score.baseline_is)}.</p>'
    )


def classes_table(confusion: Confusion) -> str:
    """Write, for each class, how much of it was found and how often its name was right."""
    if len(confusion.labels) > _MANY_CLASSES:
        return mistakes_table(confusion)
    rows = []
    for i, label in enumerate(confusion.labels):
        n_true = sum(confusion.counts[i])
        n_said = sum(row[i] for row in confusion.counts)
        right = confusion.counts[i][i]
        rows.append(
            f'<tr><th scope="row">{escape(label, 40)}</th><td class="number">{n_true:,}</td>'
            f'<td class="number">{_share(right, n_true)}</td>'
            f'<td class="number">{_share(right, n_said)}</td></tr>'
        )
    return (
        '<table><thead><tr><th scope="col">Class</th><th scope="col" class="number">Rows</th>'
        '<th scope="col" class="number">Found</th>'
        '<th scope="col" class="number">Right when named</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
        '<p class="note">Found is also called recall; right when named, precision.</p>'
    )


def mistakes_table(confusion: Confusion) -> str:
    """Write the most frequent mistakes."""
    mistakes = sorted(
        (-n, i, j)
        for i, row in enumerate(confusion.counts)
        for j, n in enumerate(row)
        if i != j and n
    )[:_MANY_CLASSES]
    rows = "".join(
        f'<tr><th scope="row">{escape(confusion.labels[i], 40)}</th>'
        f'<td>{escape(confusion.labels[j], 40)}</td><td class="number">{-n:,}</td></tr>'
        for n, i, j in mistakes
    )
    return (
        '<table><thead><tr><th scope="col">True class</th><th scope="col">Taken for</th>'
        f'<th scope="col" class="number">Rows</th></tr></thead><tbody>{rows}</tbody></table>'
        '<p class="note">The most frequent mistakes.</p>'
    )


def settings_section(run: Run) -> str:
    """Write settings, environment and split, folded away."""
    blocks = [("Settings", "config.toml", run.config_text)]
    if run.env is not None:
        blocks.append(("Environment", "env.json", _lines(run.env)))
    if run.split is not None:
        blocks.append(("Split", "split.json", _lines(run.split)))
    inner = "".join(
        f"<h3>{title} <small>{name}</small></h3><pre>{escape(text.strip(), 50_000)}</pre>"
        for title, name, text in blocks
    )
    return (
        f"<section><details><summary>Settings and environment</summary>{inner}</details></section>"
    )


def next_section(run: Run) -> str:
    """Write the commands to type next, with this run's path."""
    folder = shlex.quote(str(run.folder))
    again = ("Draw this page again", f"afina report {folder}")
    if run.finished:
        commands = [
            ("Predict another table", f"afina predict {folder} new.csv --out predictions.csv"),
            ("Score the model on rows it has not seen", f"afina evaluate {folder} new.csv"),
            again,
        ]
    else:
        commands = [("Continue the run", f"afina resume {folder}"), again]
    items = "".join(
        f"<dt>{title}</dt><dd><pre>{escape(text, 4000)}</pre></dd>" for title, text in commands
    )
    return f"<section><h2>What to type next</h2><dl>{items}</dl></section>"


def _task(summary: Summary) -> str:
    if summary.task == "multiclass" and summary.confusion is not None:
        return f"{len(summary.confusion.labels):,} classes"
    return _TASKS.get(summary.task, summary.task)


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "no rows"


def _lines(record: dict[str, Any]) -> str:
    lines = []
    for key, value in record.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{key}: {text if len(text) <= 200 else text[:199] + '…'}")
    return "\n".join(lines)
