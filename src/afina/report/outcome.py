"""Predictions as charts: the confusion matrix, or predicted against true values."""

import altair as alt

from afina.records.summary_json import Confusion, Scatter
from afina.report.chart import (
    GRID,
    INK,
    ON_FILL,
    PLAIN,
    TRAIN,
    VAL,
    Chart,
    Row,
    finish,
    number_format,
)
from afina.report.formatting import clean

N_CLASSES = 15
N_POINTS = 2000


def most_confused(confusion: Confusion, n: int = N_CLASSES) -> Confusion:
    """Keep the `n` classes with the most mistakes, in their original order.

    Example:
        >>> most_confused(Confusion(("a", "b", "c"), ((9, 0, 0), (0, 7, 2), (0, 1, 8))), 2).labels
        ('b', 'c')
    """
    counts = confusion.counts
    mistakes = [
        sum(counts[i]) + sum(row[i] for row in counts) - 2 * counts[i][i]
        for i in range(len(counts))
    ]
    kept = sorted(sorted(range(len(counts)), key=lambda i: (-mistakes[i], i))[:n])
    return Confusion(
        tuple(confusion.labels[i] for i in kept),
        tuple(tuple(counts[i][j] for j in kept) for i in kept),
    )


def confusion_chart(confusion: Confusion) -> Chart | None:
    """Draw the confusion matrix; if there are many classes, only the most confused ones."""
    if not confusion.labels:
        return None
    shown = most_confused(confusion) if len(confusion.labels) > N_CLASSES else confusion
    labels = _tell_apart(shown.labels)
    few = len(labels) <= 6
    size = 84 if len(labels) <= 3 else 56 if few else 32
    width = 40 + min(7 * max(map(len, labels)), 110) + size * len(labels)
    drawing = _matrix(labels, size, font_size=12 if few else 10)
    return Chart(
        "confusion",
        "Confusion matrix",
        finish(drawing, {"cells": _cells(shown, labels)}, size * len(labels)),
        legend=((TRAIN, "right"), (VAL, "wrong")),
        caption=_confusion_caption(confusion, shown),
        min_width=0 if few else width,
        max_width=max(width + 20 * len(labels), 320) if few else width,
    )


def _matrix(labels: list[str], size: int, font_size: int) -> alt.LayerChart:
    slanted = max(map(len, labels)) * 6.5 > size
    bare = {"domain": False, "ticks": False, "labelPadding": 6, "labelOverlap": False}
    scale = alt.Scale(domain=labels, padding=0.04)
    top = alt.Axis(
        title="predicted class",
        orient="top",
        labelAngle=-45 if slanted else 0,
        labelLimit=110 if slanted else size,
        **bare,
    )
    left = alt.Axis(title="true class", labelLimit=110, **bare)
    chart = alt.Chart(alt.NamedData("cells")).encode(
        x=alt.X("predicted:N", scale=scale, axis=top), y=alt.Y("true:N", scale=scale, axis=left)
    )
    cells = chart.mark_rect(cornerRadius=2, stroke=GRID).encode(
        fill=alt.condition("datum.right", alt.value(TRAIN), alt.value(VAL)),
        fillOpacity=alt.FillOpacity("shade:Q", scale=None, legend=None),
        tooltip=[
            alt.Tooltip("true:N"),
            alt.Tooltip("predicted:N"),
            alt.Tooltip("rows:Q", format=","),
            alt.Tooltip("share:Q", title="share of the true class", format=".1%"),
        ],
    )
    texts = chart.mark_text(fontSize=font_size).encode(
        text="text:N",
        fill=alt.condition("datum.share > 0.55", alt.value(ON_FILL), alt.value(INK)),
    )
    return alt.layer(cells, texts)


def _cells(confusion: Confusion, labels: list[str]) -> list[Row]:
    return [
        {
            "true": labels[i],
            "predicted": labels[j],
            "rows": n,
            "share": n / (sum(counts) or 1),
            "shade": 0.1 + 0.9 * n / sum(counts) if n else 0.0,  # even one row must be visible
            "right": i == j,
            "text": _cell_text(n, len(labels)),
        }
        for i, counts in enumerate(confusion.counts)
        for j, n in enumerate(counts)
    ]


def _cell_text(n: int, n_classes: int) -> str:
    if n_classes <= 6:
        return f"{n:,}" if n or n_classes <= 3 else ""
    return f"{n / 1000:,.0f}k" if n >= 10_000 else str(n or "")  # a cell of 32 pixels


def _tell_apart(labels: tuple[str, ...]) -> list[str]:
    """Shorten long labels, and number the ones that become equal: labels are axis positions."""
    seen: dict[str, int] = {}
    apart: list[str] = []
    for label in (clean(label, 60) for label in labels):
        seen[label] = seen.get(label, 0) + 1
        apart.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return apart


def _confusion_caption(confusion: Confusion, shown: Confusion) -> str:
    text = "Rows are true classes, columns are predicted ones; darker cells have larger shares."
    if len(shown.labels) == len(confusion.labels):
        return text
    n_shown, n_all = (sum(map(sum, part.counts)) for part in (shown, confusion))
    return (
        f"The {len(shown.labels)} most confused of {len(confusion.labels):,} classes, "
        f"{n_shown:,} of {n_all:,} rows. {text}"
    )


def scatter_chart(scatter: Scatter, target: str) -> Chart | None:
    """Draw predicted against true values, with a line where the two are equal."""
    pairs = [
        (true, predicted)
        for true, predicted in zip(scatter.true, scatter.predicted, strict=True)
        if true is not None and predicted is not None
    ]
    if not pairs:
        return None
    shown = _sample(pairs)
    caption = "Points on the dashed line are correct predictions; points above it are too high."
    if len(shown) < len(pairs):
        caption = f"{len(shown):,} of {len(pairs):,} rows, including the worst. {caption}"
    low, high = min(map(min, shown)), max(map(max, shown))
    if low == high:
        low, high = low - 1, high + 1
    data: dict[str, list[Row]] = {
        "rows": [{"x": true, "y": predicted} for true, predicted in shown],
        "equal": [{"x": low, "y": low}, {"x": high, "y": high}],
    }
    drawing = _against(low, high, clean(target, 40), opacity=0.75 if len(shown) <= 200 else 0.4)
    return Chart(
        "scatter",
        "Predicted against true",
        finish(drawing, data, 400),
        caption=caption,
        max_width=520,
    )


def _against(low: float, high: float, name: str, opacity: float) -> alt.LayerChart:
    scale = alt.Scale(domain=[low, high], nice=True, zero=False)
    axis = {"format": number_format([low, high]), "tickCount": 6}
    x = alt.X("x:Q", scale=scale, axis=alt.Axis(title=f"true {name}", **axis))
    y = alt.Y("y:Q", scale=scale, axis=alt.Axis(title=f"predicted {name}", **axis))
    rows, equal = alt.Chart(alt.NamedData("rows")), alt.Chart(alt.NamedData("equal"))
    tooltip = [
        alt.Tooltip("x:Q", title="true", format=",.5~g"),
        alt.Tooltip("y:Q", title="predicted", format=",.5~g"),
    ]
    points = rows.mark_circle(aria=False, color=PLAIN, size=22, opacity=opacity)
    line = equal.mark_line(color=INK, strokeDash=[4, 3])
    return alt.layer(points.encode(x=x, y=y, tooltip=tooltip), line.encode(x=x, y=y))


def _sample(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep at most `N_POINTS` rows: the 100 worst, and an even selection of the others."""
    if len(pairs) <= N_POINTS:
        return pairs
    order = sorted(range(len(pairs)), key=lambda i: -abs(pairs[i][0] - pairs[i][1]))
    worst, others = order[:100], sorted(order[100:])
    n = N_POINTS - len(worst)
    kept = {*worst, *(others[k * len(others) // n] for k in range(n))}
    return [pairs[i] for i in sorted(kept)]
