"""The text of the page: the task, the score, why training ended, the next commands."""

import json
from pathlib import PureWindowsPath

from markupsafe import Markup

from afina.records.json_record import to_dict
from afina.records.summary_json import Confusion, Score, Summary
from afina.report.formatting import clean, figure, less_error, pair, seconds
from afina.report.run_files import RunFiles
from afina.report.templates import fill

_TASKS = {"binary": "two classes", "multiclass": "several classes", "regression": "regression"}
_MANY_CLASSES = 15


def header(run: RunFiles) -> Markup:
    """Return the header: target, table, task, number of rows."""
    target, table = target_and_table(run)
    return fill(
        "header",
        target=target,
        table=PureWindowsPath(table).name or table,  # also the last part of a POSIX path
        folder=run.folder.name,
        facts=_facts(run),
    )


def _facts(run: RunFiles) -> list[str]:
    summary = run.summary
    if summary is None:
        return ["unfinished run"]
    rows = summary.rows
    facts = [_TASKS[summary.task], f"{rows.train:,} training rows", f"{rows.val:,} validation rows"]
    if summary.task == "multiclass" and summary.confusion is not None:
        facts[0] = f"{len(summary.confusion.labels):,} classes"
    if rows.folds > 1:
        facts[1:] = [f"{rows.train:,} rows in {rows.folds} folds"]
    if rows.left_out:
        facts.append(f"{rows.left_out:,} rows left out")
    return facts


def target_and_table(run: RunFiles) -> tuple[str, str]:
    """Return the target and the path of the table, empty if the run does not record them."""
    if run.summary is not None:
        return run.summary.target, run.summary.table
    if run.begun is None:
        return "", ""
    return run.begun.target, "" if run.begun.table is None else run.begun.table.path


def score_section(run: RunFiles) -> Markup:
    """Return the score next to the baseline's, in large type and in a sentence."""
    if not run.finished or run.summary is None:
        return _unfinished(run)
    summary, score = run.summary, run.summary.score
    value, baseline = pair(score.value, score.baseline)
    on, n, aside = "validation", summary.rows.val, ""
    if summary.on == "train":
        return _untested(summary, value, baseline)
    if summary.rows.folds > 1:
        aside = (
            "Each row was scored only by the members that had not trained on it; the model "
            "averages all of its members."
        )
    name, baseline_is = clean(score.name), clean(score.baseline_is)
    verdict, is_warning = _verdict(score)
    return fill(
        "score",
        score=score,
        value=value,
        baseline=baseline,
        sentence=f"On {n:,} {on} rows, the model's {name} is {value}; the baseline's "
        f"({baseline_is}) is {baseline}.",
        verdict=verdict,
        is_warning=is_warning,
        aside=aside,
    )


def _untested(summary: Summary, value: str, baseline: str) -> Markup:
    """Say that no rows were held out; scores on training rows are not shown in large type."""
    name = clean(summary.score.name)
    return fill(
        "text",
        title="Not tested on new rows",
        text=f"No rows were held out, so it is not known how good the model is on new rows. On the "
        f"{summary.rows.train:,} training rows, which it learned from, its {name} is {value}; the "
        f"baseline's ({clean(summary.score.baseline_is)}) is {baseline}.",
    )


def _verdict(score: Score) -> tuple[str, bool]:
    """Return a sentence that compares model and baseline, and whether it is a warning."""
    if score.value is None or score.baseline is None:
        return "", False
    if score.caution:
        return clean(score.caution, 400), True
    less = less_error(score.value, score.baseline, higher_is_better=score.higher_is_better)
    if less:
        return f"The model has {less} than its baseline.", False
    return "The model is no better than its baseline.", True


def _unfinished(run: RunFiles) -> Markup:
    metrics = run.metrics
    text = f"So far: {metrics.epoch:,} epochs, {metrics.step:,} steps."
    losses = metrics.val.get("val/loss")
    if losses is not None and losses.finite():
        text += f" The lowest validation loss is {figure(min(losses.finite()), 4)}."
    return fill("unfinished", text=text)


def stop_section(run: RunFiles) -> Markup:
    """Return why training ended, and which weights the model has."""
    stop = run.stop
    if stop is None:
        return Markup()
    why = clean((stop.why or stop.reason or "The run folder does not say why.").strip(), 400)
    parts = [why + ("" if why[-1] in ".!?" else ".")]
    if run.summary is not None and run.summary.model == "constant":
        parts.append("The model is the baseline, not a network.")
    elif stop.best_epoch is None:
        parts.append("No rows were held out, so the model has the final weights.")
    else:
        best = f", where {clean(stop.monitor)} was {figure(stop.best, 4)}" if stop.monitor else ""
        parts.append(f"The model has the weights of epoch {stop.best_epoch:,}{best}.")
    took = run.summary.seconds if run.summary is not None else None
    ending = "" if took is None else f", and took {seconds(took)}"
    parts.append(f"Training ended at epoch {stop.epoch:,}, step {stop.step:,}{ending}.")
    return fill("text", title="Why it stopped", text=" ".join(parts))


def scores_table(summary: Summary) -> Markup:
    """Return every score next to the baseline's."""
    both = summary.scores, summary.baseline_scores
    rows = [
        [name, *(figure(scores[name], 4) if name in scores else "" for scores in both)]
        for name in summary.scores | summary.baseline_scores
    ]
    return fill(
        "table",
        heads=["Score", "Model", "Baseline"],
        rows=rows,
        numbers=[1, 2],
        note_below=f"Baseline: {summary.score.baseline_is}.",
    )


def classes_table(confusion: Confusion) -> Markup:
    """Return the recall and precision of each class, or the mistakes if there are many classes."""
    if len(confusion.labels) > _MANY_CLASSES:
        return mistakes_table(confusion)
    rows = []
    for i, label in enumerate(confusion.labels):
        n_true = sum(confusion.counts[i])
        n_predicted = sum(row[i] for row in confusion.counts)
        right = confusion.counts[i][i]
        rows.append([label, f"{n_true:,}", _share(right, n_true), _share(right, n_predicted)])
    return fill(
        "table",
        heads=["Class", "Rows", "Recall", "Precision"],
        rows=rows,
        numbers=[1, 2, 3],
        note_below="Recall is the share of a class's rows that are predicted as that class; "
        "precision is the share of the rows predicted as a class that belong to it.",
    )


def mistakes_table(confusion: Confusion) -> Markup:
    """Return the most frequent mistakes."""
    mistakes = sorted(
        (-n, i, j)
        for i, row in enumerate(confusion.counts)
        for j, n in enumerate(row)
        if i != j and n
    )[:_MANY_CLASSES]
    return fill(
        "table",
        heads=["True class", "Predicted as", "Rows"],
        rows=[[confusion.labels[i], confusion.labels[j], f"{-n:,}"] for n, i, j in mistakes],
        numbers=[2],
        note_below="The most frequent mistakes.",
    )


def settings_section(run: RunFiles) -> Markup:
    """Return settings, environment and split, collapsed."""
    blocks = [("Settings", "config.toml", run.config_text.strip())]
    if run.env is not None:
        blocks.append(("Environment", "env.json", _lines(run.env)))
    if run.split is not None:
        blocks.append(("Split", "split.json", _lines(run.split)))
    return fill("settings", blocks=blocks)


def next_section(run: RunFiles) -> Markup:
    """Return the commands to type next, with this run's path."""
    folder = run.quoted
    again = ("Write this page again", f"afina report {folder}")
    if run.finished:
        commands = [
            (
                "Predict the rows of another table",
                f"afina predict {folder} new.csv --out predictions.csv",
            ),
            ("Score the model on new rows", f"afina evaluate {folder} new.csv"),
            again,
        ]
    else:
        commands = [("Continue the run", f"afina resume {folder}"), again]
    return fill("next", commands=commands)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "no rows"


def _lines(record: object) -> str:
    """Return a record as one line for each key, with long values shortened."""
    texts = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in to_dict(record).items()
    }
    return "\n".join(f"{key}: {clean(text, 200)}" for key, text in texts.items())
