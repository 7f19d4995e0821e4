"""The sections for a run of `afina.Trainer`, which has no table, no baseline and no config."""

from markupsafe import Markup

from afina.records.metrics_jsonl import StopRecord
from afina.report.chart import Chart
from afina.report.curves import grad_norm_chart, loss_chart, lr_chart, score_chart
from afina.report.formatting import clean, figure
from afina.report.metrics import Curve
from afina.report.run_files import RunFiles
from afina.report.templates import fill


def trainer_sections(run: RunFiles) -> list[Markup]:
    """Return all sections of the page, from the title to the next commands."""
    return [_header(run), _summary(run), _curves(run), _scores(run), _settings(run), _next(run)]


def _header(run: RunFiles) -> Markup:
    metrics = run.metrics
    facts = ["afina.Trainer", _counted(metrics.epoch, "epoch"), _counted(metrics.step, "step")]
    return fill("header", target="", table="", folder=run.folder.name, facts=facts)


def _summary(run: RunFiles) -> Markup:
    """Say why training ended and which weights the module has, or how far training has come."""
    stop, metrics = run.metrics.stop, run.metrics
    if stop is None:
        text = (
            f"The last record is from epoch {metrics.epoch:,}, step {metrics.step:,}. The run is "
            "still training, or was interrupted; a Trainer can continue it (see below)."
        )
        return fill("text", title="This run has not ended", text=text)
    why = clean((stop.why or stop.reason or "The run folder does not say why.").strip(), 400)
    parts = [why + ("" if why[-1] in ".!?" else "."), _weights(stop)]
    parts.append(f"Training ended at epoch {stop.epoch:,}, step {stop.step:,}.")
    return fill("text", title="Why it stopped", text=" ".join(parts))


def _weights(stop: StopRecord) -> str:
    if stop.best_step is None or stop.monitor is None:
        return "There were no validation rows, so the module has the final weights."
    best = f"{clean(stop.monitor)} was {figure(stop.best, 4)}"
    return f"The module has the weights of step {stop.best_step:,}, where {best}."


def _curves(run: RunFiles) -> Markup:
    """Draw the loss, every metric of the validation rows, learning rate and gradient norm."""
    metrics, stop = run.metrics, run.metrics.stop
    loss = loss_chart(metrics, stop, "mean")
    names = [name.removeprefix("val/") for name in metrics.val if name != "val/loss"]
    scores = [score_chart(metrics, stop, name, f"score-{i}") for i, name in enumerate(names)]
    limit = run.trainer_settings.get("max_grad_norm")
    by_step = [
        lr_chart(metrics, stop),
        grad_norm_chart(metrics, stop, limit if isinstance(limit, int | float) else None),
    ]
    charts: list[Chart] = [c for c in (loss, *scores, *by_step) if c is not None]
    if not charts:
        return fill("text", title="Training", text="No step has been recorded yet.")
    return fill("training", first=charts[0], others=charts[1:])


def _scores(run: RunFiles) -> Markup:
    """Return every validation metric at the step of the kept weights, and at the end."""
    stop, metrics = run.metrics.stop, run.metrics
    curves = {name: curve for name, curve in metrics.val.items() if curve.finite()}
    if not curves:
        return Markup()
    heads, rows = ["Metric", "last"], [[name, figure(c.y[-1], 4)] for name, c in curves.items()]
    if stop is not None and stop.best_epoch is not None:
        place = metrics.place(stop.best_epoch, stop.best_step or 0)
        heads.insert(1, f"step {stop.best_step:,}")
        for row, curve in zip(rows, curves.values(), strict=True):
            row.insert(1, _at(curve, place))
    note = "On the validation rows, which decided when to stop if a metric was monitored."
    table = fill(
        "table", heads=heads, rows=rows, numbers=list(range(1, len(heads))), note_below=note
    )
    return fill("section", title="Validation metrics", content=table)


def _at(curve: Curve, place: float) -> str:
    return figure(dict(zip(curve.x, curve.y, strict=True))[place], 4) if place in curve.x else ""


def _settings(run: RunFiles) -> Markup:
    if not run.trainer_settings:
        return Markup()
    lines = (f"{name} = {value!r}" for name, value in run.trainer_settings.items())
    block = ("Settings", "of the newest checkpoint", "\n".join(lines))
    return fill("settings", blocks=[block])


def _next(run: RunFiles) -> Markup:
    folder = repr(str(run.folder))
    commands = [("Write this page again", f"afina report {run.quoted}")]
    if run.metrics.stop is None:
        call = f"afina.Trainer(..., run_dir={folder}).fit(..., resume=True)"
        commands.insert(0, ("Continue the run, in Python, with the same arguments as before", call))
    return fill("next", commands=commands)


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
