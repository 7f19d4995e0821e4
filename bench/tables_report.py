"""Show runs as Markdown tables and as a plot of error against time."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from run_record import Run
from standings import (
    Errors,
    bests,
    complete,
    error_ratio,
    geometric_mean,
    mean_distances,
    mean_ranks,
    median_errors,
    median_of,
    names_of,
    score_name,
    wins,
)

BEGIN, END = "<!-- begin: bench/tables.py -->", "<!-- end: bench/tables.py -->"


def report(runs: Sequence[Run]) -> str:
    """Return the whole report: standings, win matrix, errors by table, times, failures."""
    names = names_of(runs)
    parts = [provenance(runs), *standings(runs)]
    if len(names) > 1:
        parts += [f"## Compared with {names[0]}", beside(runs, names[0], names[1:])]
        parts += ["## Wins", win_matrix(runs, names)]
    parts += ["## Errors by table", errors_by_table(runs, names)]
    figures = {
        "Fit, in processor seconds": "fit_cpu_s",
        "Prediction of the test rows, in seconds": "predict_s",
        "Additional memory of fit and prediction, in MB": "memory_mb",
    }
    for title, key in figures.items():
        parts += [f"## {title}", figures_by_table(runs, names, key)]
    failed = [run for run in runs if run.failure]
    if failed:
        lines = [f"- {r.contender}, {r.table}, seed {r.seed}: {r.failure}" for r in failed]
        parts += ["## Failed", "\n".join(lines)]
    return "\n\n".join(parts)


def provenance(runs: Sequence[Run]) -> str:
    """Return what was measured, where and when."""
    lines = []
    for name in names_of(runs):
        mine = [run for run in runs if run.contender == name]
        what = sorted(
            {f"{r.versions} on {r.hardware}, threads {r.threads or 'auto'}" for r in mine}
        )
        dates = sorted({run.date for run in mine})
        n = len({run.table for run in mine}), len({run.seed for run in mine})
        lines.append(
            f"- {name}: {n[0]} tables, seeds up to {n[1]}; {'; '.join(what)}; "
            f"{dates[0]}{'' if len(dates) == 1 else ' to ' + dates[-1]}"
        )
    return "\n".join(lines)


def standings(runs: Sequence[Run]) -> list[str]:
    """Rank the contenders that ran on every table, and all of them on the tables they share."""
    names, whole = names_of(runs), complete(runs)
    parts = []
    groups = [whole] if len(whole) == len(names) else [whole, names]
    for group in (group for group in groups if len(group) > 1):
        errors = median_errors(runs, group)
        if errors:
            parts += [f"## Standings on {len(errors)} tables", ranking(runs, group, errors)]
    return parts


def ranking(runs: Sequence[Run], names: Sequence[str], errors: Errors) -> str:
    """Return ranks and distances by the error of the task, and by every score of classes."""
    ranks, distances, best = mean_ranks(errors), mean_distances(errors), bests(errors)
    scores = {"auc_error": "1 - AUC", "log_loss": "log-loss", "acc_error": "1 - accuracy"}
    others = {s: mean_distances(median_errors(runs, names, s)) for s in scores}
    header = ["contender", "mean rank", "distance to the best", "best on"]
    header += [f"classes: by {title}" for title in scores.values()]
    header += ["fit, processor s", "predict, s"]
    rows = []
    for name in sorted(names, key=lambda n: ranks[n]):
        row = [name, f"{ranks[name]:.2f}", f"{distances[name]:.1%}", str(best[name])]
        row += [f"{others[s][name]:.1%}" if name in others[s] else "-" for s in scores]
        for key in ("fit_cpu_s", "predict_s"):
            row.append(f"{geometric_mean([median_of(runs, t, name, key) for t in errors]):.3g}")
        rows.append(row)
    return markdown(header, rows)


def win_matrix(runs: Sequence[Run], names: Sequence[str]) -> str:
    """Return on how many of their shared tables the contender of a row beats that of a column."""
    rows = []
    for one in names:
        row = [f"**{one}** beats"]
        for other in names:
            errors = median_errors(runs, (one, other))
            row.append("" if one == other else f"{wins(errors, one, other):g}/{len(errors)}")
        rows.append(row)
    return markdown(["", *names], rows)


def beside(runs: Sequence[Run], one: str, others: Sequence[str]) -> str:
    """Return the errors of the others, divided by those of the first on the same tables."""
    rows = []
    for other in others:
        errors = median_errors(runs, (one, other))
        if errors:
            ratio, low, high = error_ratio(errors, other, one)
            won = f"{wins(errors, one, other):g}/{len(errors)}"
            rows.append([other, f"{ratio:.3f}", f"{low:.3f} to {high:.3f}", won])
    rivals = [name for name in complete(runs) if not name.startswith("afina")]
    if one not in rivals and len(rivals) > 1:
        errors = median_errors(runs, [one, *rivals])
        won = sum(table[one] <= min(table[n] for n in rivals) for table in errors.values())
        rows.append([f"the best of {', '.join(rivals)}", "", "", f"{won}/{len(errors)}"])
    header = ["contender", f"its error / {one}'s", "95 % over tables", f"tables that {one} wins"]
    return markdown(header, rows)


def errors_by_table(runs: Sequence[Run], names: Sequence[str]) -> str:
    """Return median errors; the smallest one of a table is bold."""
    tasks = {run.table: run.task for run in runs}
    medians = {name: median_errors(runs, [name]) for name in names}
    rows = []
    for table in sorted(tasks, key=lambda t: (tasks[t], t)):
        values = {n: medians[n][table][n] for n in names if table in medians[n]}
        best = min(values.values())
        cells = [cell(values.get(name, math.nan), "{:.4g}") for name in names]
        marked = [
            f"**{text}**" if values.get(name) == best else text
            for name, text in zip(names, cells, strict=True)
        ]
        rows.append([table, score_name(tasks[table]), *marked])
    return markdown(["table", "error", *names], rows)


def figures_by_table(runs: Sequence[Run], names: Sequence[str], key: str) -> str:
    """Return medians over seeds of seconds or memory."""
    tables = sorted({run.table for run in runs})
    rows = [[t, *(cell(median_of(runs, t, n, key), "{:.3g}") for n in names)] for t in tables]
    return markdown(["table", *names], rows)


def cell(value: float, form: str) -> str:
    """Format a figure: NaN as a dash, infinity as "failed"."""
    if math.isnan(value):
        return "-"
    return "failed" if math.isinf(value) else form.format(value)


def time_ratios(runs: Sequence[Run], one: str, other: str) -> str:
    """Return times and memory of alternating runs: `one` divided by `other`."""
    figures = {
        "fit": "fit_s", "fit, processor": "fit_cpu_s", "predict": "predict_s", "memory": "memory_mb"
    }  # fmt: skip
    rows, ratios = [], {title: [] for title in figures}
    for table in dict.fromkeys(run.table for run in runs):
        row = [table]
        for title, key in figures.items():
            a, b = (median_of(runs, table, name, key) for name in (one, other))
            ratio = a / b if b > 0 else float("nan")
            ratios[title].append(ratio)
            row.append(f"{ratio:.2f} ({a:.3g} / {b:.3g})")
        rows.append(row)
    middle = [f"**{median(each):.2f}**" for each in ratios.values()]
    return markdown([f"{one} / {other}", *figures], [*rows, ["**median**", *middle]])


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_between_marks(path: Path, text: str) -> None:
    """Replace the text between the two marks of a file; a file without marks is overwritten."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if BEGIN in old and END in old:
        head, tail = old.split(BEGIN)[0], old.split(END)[1]
        path.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")
    else:
        path.write_text(text + "\n", encoding="utf-8")


def plot(runs: Sequence[Run], path: Path) -> None:
    """Plot the mean distance to the best error against processor seconds of a fit, as SVG.

    Uses the tables that all contenders ran on; if there are none, only the contenders that ran on all.
    """
    import altair as alt
    import vl_convert

    names = names_of(runs)
    if not median_errors(runs, names):
        names = complete(runs)
    errors = median_errors(runs, names)
    distances = mean_distances(errors)
    points = [
        {
            "contender": name,
            "distance": distances[name],
            "seconds": geometric_mean([median_of(runs, t, name, "fit_cpu_s") for t in errors]),
        }
        for name in names
    ]
    start = alt.Chart(alt.Data(values=points)).encode(
        x=alt.X("seconds:Q")
        .scale(type="log")
        .title("processor seconds of a fit (geometric mean over tables)"),
        y=alt.Y("distance:Q")
        .axis(format="%")
        .title("error above that of the best contender (mean over tables)"),
    )
    label = start.mark_text(align="left", dx=8).encode(text="contender:N")
    title = f"{len(errors)} tables, every contender with its defaults"
    chart = (start.mark_point(filled=True, size=70) + label).properties(
        width=520, height=320, title=title
    )
    path.write_text(vl_convert.vegalite_to_svg(chart.to_dict()), encoding="utf-8")
