"""What all charts share: the record of a chart, the look, colors from the page's style sheet."""

from dataclasses import dataclass
from typing import Any

import altair as alt

Spec = dict[str, Any]
Row = dict[str, Any]

# Colors are variables of page.css, so that dark mode and print do not need their own charts.
INK, MUTED, GRID, ON_FILL = "var(--ink)", "var(--muted)", "var(--grid)", "var(--on-fill)"
TRAIN, VAL, PLAIN = "var(--train)", "var(--val)", "var(--plain)"

_ROOM = {"left": 2, "right": 8, "bottom": 2}
_LOOK: Spec = {
    "background": None,
    "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
    "autosize": {"type": "fit-x", "contains": "padding"},
    "view": {"stroke": None},
    "axis": {
        "domainColor": GRID,
        "gridColor": GRID,
        "labelColor": MUTED,
        "labelFontSize": 11,
        "labelOverlap": True,
        "labelSeparation": 8,
        "tickColor": GRID,
        "titleColor": MUTED,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
}


@dataclass(frozen=True)
class Chart:
    """A chart on the page.

    Args:
        name: an identifier, unique on the page.
        title: what the chart shows.
        spec: the Vega-Lite specification, including its data.
        legend: color and meaning of each line.
        caption: what to look for.
        min_width: in pixels; on a narrower page the chart scrolls sideways.
        max_width: in pixels; a wider page does not stretch the chart. None: no limit.
    """

    name: str
    title: str
    spec: Spec
    legend: tuple[tuple[str, str], ...] = ()
    caption: str = ""
    min_width: int = 0
    max_width: int | None = None


def finish(drawing: alt.LayerChart, data: dict[str, list[Row]], height: int, top: int = 4) -> Spec:
    """Return the specification of a chart whose layers refer to their data by name.

    Args:
        drawing: the layers.
        data: rows by name.
        height: height of the frame, in pixels.
        top: room above the frame, in pixels.

    Altair neither checks nor counts the rows of data that is passed by name. That is fast, and
    leaves Altair's row limit unchanged for other code in the process.
    """
    spec: Spec = drawing.properties(width="container", height=height).to_dict()
    del spec["$schema"]  # a web address, which the page does not need
    return spec | {"padding": _ROOM | {"top": top}, "config": _LOOK, "datasets": data}


def spans_decades(values: list[float]) -> bool:
    """Return whether values need a logarithmic axis: they are positive and span two decades."""
    if not values or min(values) < 1e-300 or max(values) > 1e300:  # ticks would over- or underflow
        return False
    return max(values) >= 100 * min(values)


def number_format(values: list[float]) -> str:
    """Choose how an axis formats its numbers: 12.3k for large ones, 3e-5 for tiny ones, else plain.

    An axis sets the precision by the spacing of its ticks, so "g" could show 400 as 4e+2.
    """
    size = max(map(abs, values), default=0.0)
    if size >= 10_000:
        return "~s"
    return ",~f" if size >= 1e-3 else "~g"
