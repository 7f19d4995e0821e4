"""Charts of training: loss and score by epoch, learning rate and gradient by step."""

import math
from collections.abc import Iterable

import altair as alt

from afina.records.metrics_jsonl import StopRecord
from afina.report.chart import (
    INK,
    MUTED,
    PLAIN,
    TRAIN,
    VAL,
    Chart,
    Row,
    finish,
    number_format,
    spans_decades,
)
from afina.report.formatting import clean
from afina.report.metrics import Curve, Metrics
from afina.report.thinning import thin

_EPOCHS = "epoch (passes over the training rows)"
_STEPS = "step (optimizer updates)"
_COLORS = {"training": TRAIN, "validation": VAL}
_FEW_TICKS = 6
_POINTS_UP_TO = 40  # with more epochs, the points would run into each other


def loss_chart(metrics: Metrics, stop: StopRecord | None, unit: str) -> Chart | None:
    """Draw training and validation loss by epoch; None if there is nothing to draw.

    Args:
        metrics: the run's curves.
        stop: where training ended and where it was best. None: the run is unfinished.
        unit: the loss's unit, for the axis.
    """
    both = {"training": metrics.train_loss, "validation": metrics.val.get("val/loss", Curve())}
    return _by_epoch("loss", "Loss by epoch", f"loss ({unit})", both, metrics, stop, height=300)


def score_chart(
    metrics: Metrics, stop: StopRecord | None, name: str, chart: str = "score"
) -> Chart | None:
    """Draw a validation score by epoch; None if there is no score.

    Args:
        metrics: the curves of the run.
        stop: where training ended and where it was best. None: the run is unfinished.
        name: name of the score, without `val/`.
        chart: the chart's identifier, unique on the page.
    """
    curves = {"validation": metrics.val.get(f"val/{name}", Curve())}
    name = clean(name, 30)
    return _by_epoch(chart, f"Validation {name} by epoch", name, curves, metrics, stop, height=200)


def lr_chart(metrics: Metrics, stop: StopRecord | None) -> Chart | None:
    """Draw the learning rate by step."""
    return _by_step("lr", "Learning rate by step", "learning rate", metrics.lr, stop)


def grad_norm_chart(
    metrics: Metrics, stop: StopRecord | None, max_grad_norm: float | None
) -> Chart | None:
    """Draw the gradient's norm by step, with a line where clipping starts."""
    return _by_step(
        "grad_norm",
        "Gradient norm by step",
        "2-norm before clipping",
        metrics.grad_norm,
        stop,
        limit=max_grad_norm,
    )


def _by_epoch(
    name: str,
    title: str,
    axis: str,
    curves: dict[str, Curve],
    metrics: Metrics,
    stop: StopRecord | None,
    height: int,
) -> Chart | None:
    caption = _left_out(curves.values())
    curves = {of: thin(curve) for of, curve in curves.items() if curve.finite()}
    if not curves:
        return None
    rows: list[Row] = [
        {"x": x, "y": y, "of": of}
        for of, curve in curves.items()
        for x, y in zip(curve.x, curve.y, strict=True)
    ]
    marks, flags = _marks(metrics, stop, curves.get("validation"))
    places = [row["x"] for part in (rows, *flags.values()) for row in part]
    x = _x_axis(places, _EPOCHS)
    y = _y_axis([row["y"] for row in rows if row["y"] is not None], axis)
    layers = _curve_layers(axis, list(curves), x, y, points=len(set(places)) <= _POINTS_UP_TO)
    layers += _flag_layers(marks, flags, x, y, max(places))
    spec = finish(alt.layer(*layers), {"curve": rows} | flags, height)
    legend = tuple((_COLORS[of], of) for of in curves) if len(curves) > 1 else ()
    return Chart(name, title, spec, legend, caption)


def _curve_layers(
    title: str, names: list[str], x: alt.X, y: alt.Y, *, points: bool
) -> list[alt.Chart]:
    """Draw the lines and their points; if there are many points, they appear only on hover."""
    scale = alt.Scale(domain=names, range=[_COLORS[of] for of in names])
    chart = alt.Chart(alt.NamedData("curve")).encode(
        x=x, y=y, color=alt.Color("of:N", scale=scale, legend=None)
    )
    tooltip = [
        alt.Tooltip("of:N", title="rows"),
        alt.Tooltip("x:Q", title="epoch", format=",.4~g"),
        alt.Tooltip("y:Q", title=title, format=".5g"),
    ]
    return [
        chart.mark_line(strokeWidth=2, strokeJoin="round"),
        chart.mark_circle(size=28, opacity=1 if points else 0).encode(tooltip=tooltip),
    ]


def _marks(
    metrics: Metrics, stop: StopRecord | None, val: Curve | None
) -> tuple[dict[str, str], dict[str, list[Row]]]:
    """Return the labels and the data of the marks at the best epoch and at the stopping point."""
    if stop is None:
        return {}, {}
    last = metrics.place(stop.epoch, stop.step)
    texts = {"stopped": f"stopped: {_moment(metrics, stop.epoch, stop.step)}"}
    data: dict[str, list[Row]] = {"stopped": [{"x": last}]}
    if stop.best_epoch is not None:
        best = metrics.place(stop.best_epoch, stop.best_step or 0)
        moment = _moment(metrics, stop.best_epoch, stop.best_step or 0)
        height = dict(zip(val.x, val.y, strict=True)).get(best) if val is not None else None
        if best == last:
            texts = {"best": f"best and stopped: {moment}"}
            data = {}
        else:
            texts = {"best": f"best: {moment}"} | texts
        data["best"] = [{"x": best, "y": height}]
    return texts, data


def _moment(metrics: Metrics, epoch: int, step: int) -> str:
    """Name an evaluation by its epoch and, within an epoch, also by its step."""
    within = metrics.place(epoch, step) != epoch
    return f"epoch {epoch + 1:,}, step {step:,}" if within else f"epoch {epoch:,}"


def _flag_layers(
    texts: dict[str, str], data: dict[str, list[Row]], x: alt.X, y: alt.Y, last: float
) -> list[alt.Chart]:
    """Draw a line for each mark, with its label in a separate row above the frame."""
    layers: list[alt.Chart] = []
    for row, (name, text) in enumerate(reversed(texts.items())):
        chart = alt.Chart(alt.NamedData(name))
        dash = [4, 3] if name == "best" else [1, 0]
        layers += [
            chart.mark_rule(color=MUTED, strokeDash=dash).encode(x=x),
            chart.mark_text(
                align="right" if data[name][0]["x"] > last / 2 else "left",
                color=INK,
                fontSize=11,
            ).encode(x=x, y=alt.value(-8 - 14 * row), text=alt.value(text)),
        ]
        if data[name][0].get("y") is not None:
            layers.append(
                chart.mark_point(
                    filled=True, size=90, color=VAL, stroke=INK, strokeWidth=1.5, opacity=1
                ).encode(x=x, y=y)
            )
    return layers


def _by_step(
    name: str,
    title: str,
    axis: str,
    curve: Curve,
    stop: StopRecord | None,
    limit: float | None = None,
) -> Chart | None:
    if spans_decades([y for y in curve.finite() if y > 0]):  # a log axis cannot show 0
        curve = Curve(curve.x, [y if y is not None and y > 0 else None for y in curve.y])
    caption = _left_out([curve])
    curve = thin(curve)
    if not curve.finite():
        return None
    rows: list[Row] = [{"x": x, "y": y} for x, y in zip(curve.x, curve.y, strict=True)]
    x, y = _x_axis(curve.x, _STEPS), _y_axis(curve.finite(), axis, zero=True)
    chart = alt.Chart(alt.NamedData("curve"))
    layers = [chart.mark_line(color=PLAIN, strokeWidth=1.2, strokeJoin="round").encode(x=x, y=y)]
    if len(rows) <= _POINTS_UP_TO:
        layers.append(chart.mark_circle(color=PLAIN, size=20).encode(x=x, y=y))
    data = {"curve": rows}
    if limit is not None and min(curve.finite()) <= limit <= max(curve.finite()):
        data["limit"] = [{"y": limit}]
        layers.append(
            alt.Chart(alt.NamedData("limit")).mark_rule(color=INK, strokeDash=[4, 3]).encode(y=y)
        )
        caption = f"Above the dashed line, {limit:g}, the gradient is clipped. {caption}"
    # The frames of side-by-side charts line up, so each leaves room for the labels of marks.
    spec = finish(alt.layer(*layers), data, 200, top=4 if stop is None else 30)
    return Chart(name, title, spec, caption=caption.strip())


def _x_axis(places: list[float], title: str) -> alt.X:
    first, last = min(places), max(places)
    if first == last:  # one point: give it room on both sides
        first, last = first - 1, last + 1
    scale = alt.Scale(domain=[first, last], nice=False, zero=False)
    # A few ticks are listed, because an axis might put some between whole numbers and round them.
    few = list(range(math.ceil(first), math.floor(last) + 1)) if last - first <= _FEW_TICKS else []
    axis = alt.Axis(
        title=title,
        format="~s" if last >= 10_000 else ",d",
        tickMinStep=1,
        grid=False,
        **({"values": few} if few else {}),
    )
    return alt.X("x:Q", scale=scale, axis=axis)


def _y_axis(values: list[float], title: str, *, zero: bool = False) -> alt.Y:
    if spans_decades(values):
        powers = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
        ticks = [10.0**power for power in powers]
        scale = alt.Scale(type="log", domain=[ticks[0], ticks[-1]])
        axis = alt.Axis(title=f"{title}, log scale", format="~g", values=ticks)
        return alt.Y("y:Q", scale=scale, axis=axis)
    axis = alt.Axis(title=title, format=number_format(values), tickCount=5)
    return alt.Y("y:Q", scale=alt.Scale(zero=zero, nice=True), axis=axis)


def _left_out(curves: Iterable[Curve]) -> str:
    n = sum(value is None for curve in curves for value in curve.y)
    return (
        f"{n:,} of the values cannot be drawn: they are 0 on a log scale, or not finite."
        if n
        else ""
    )
