"""Short descriptions of a trainer and its results, as text and as HTML with a curve for notebooks."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from torch import nn

from afina.train.events import EpochEvent, EvalEvent, Event, StopEvent

WIDTH, HEIGHT, MARGIN = 320, 120, 6
MOST_POINTS = 300
COLORS = ("#777777", "#1f77b4")  # readable on a light and on a dark page
LONGEST = 60
Points = Sequence[tuple[float, float]]


def describe_stop(stop: StopEvent, n_parameters: int) -> str:
    """Describe how a fit ended.

    Example:
        >>> stop = StopEvent(20, 5, "max_epochs", "all epochs", "val/loss", 0.25, 16, 4)
        >>> describe_stop(stop, 4)
        'max_epochs after 5 epochs, 20 steps; best val/loss 0.25 at epoch 4; 4 trained parameters'
    """
    parts = [f"{stop.reason} after {_count(stop.epoch, 'epoch')}, {_count(stop.step, 'step')}"]
    if stop.monitor is not None and stop.best is not None:
        parts.append(f"best {stop.monitor} {stop.best:.4g} at epoch {stop.best_epoch}")
    return "; ".join([*parts, _count(n_parameters, "trained parameter")])


def loss_curves(history: Sequence[Event]) -> dict[str, Points]:
    """Return the losses of a fit by name, as pairs of step and loss."""
    train = [(e.step, e.loss) for e in history if isinstance(e, EpochEvent)]
    evaluations = [e for e in history if isinstance(e, EvalEvent)]
    val = [(e.step, e.metrics["val/loss"]) for e in evaluations if "val/loss" in e.metrics]
    return {"train/loss": train, "val/loss": val}


def range_curve(lrs: Sequence[float], losses: Sequence[float]) -> dict[str, Points]:
    """Return the losses of a range test against the logarithm of the rate, until they diverge."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    top = max(4 * abs(min(finite)), finite[0]) if finite else 0.0
    pairs = zip(lrs, losses, strict=True)
    return {"loss": [(math.log10(lr), loss) for lr, loss in pairs if loss <= top]}


def draw_html(title: str, sentence: str, curves: Mapping[str, Points]) -> str:
    """Return a title, a sentence and the curves as HTML, without scripts.

    Args:
        title: the name of the class.
        sentence: a summary of the result.
        curves: points by name; values that are not finite are left out, and so is a curve of fewer
            than two points.
    """
    shown = {name: thinned for name, points in curves.items() if (thinned := _thin(points))}
    head = f"<div><b>{escape(title)}</b> {escape(sentence)}"
    if not shown:
        return f"{head}</div>"
    xs, ys = zip(*(point for points in shown.values() for point in points), strict=True)
    lines, names = [], []
    for color, (name, points) in zip(COLORS, shown.items(), strict=False):
        pairs = " ".join(
            f"{_place(x, xs, WIDTH):.1f},{HEIGHT - _place(y, ys, HEIGHT):.1f}" for x, y in points
        )
        lines.append(f'<polyline fill="none" stroke="{color}" points="{pairs}"/>')
        names.append(f'<span style="color:{color}">{escape(name)}</span>')
    limits = f"from {min(ys):.4g} to {max(ys):.4g}"
    return (
        f'{head}<br><svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{escape(", ".join(shown))} {limits}">{"".join(lines)}</svg>'
        f"<br><small>{', '.join(names)} {limits}</small></div>"
    )


def describe_trainer(trainer: Any) -> tuple[str, dict[str, str]]:
    """Return the name of a trainer's model, and the settings that differ from the defaults."""
    settings = {}
    for field in dataclasses.fields(trainer):
        value = getattr(trainer, field.name, field.default)
        if field.name == "model" or _is_default(value, field.default):
            continue
        settings[field.name] = _short(value)
    return type(trainer.model).__name__, settings


def trainer_text(trainer: Any) -> str:
    """Describe a trainer in one line."""
    name, settings = describe_trainer(trainer)
    return f"Trainer({', '.join([name, *(f'{key}={text}' for key, text in settings.items())])})"


def trainer_html(trainer: Any) -> str:
    """Describe a trainer as a small table."""
    name, settings = describe_trainer(trainer)
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(text)}</td></tr>" for key, text in settings.items()
    )
    return f"<div><b>Trainer</b> of {escape(name)}<table>{rows}</table></div>"


def _is_default(value: object, default: object) -> bool:
    """Return whether a keyword was left out, or set to what leaving it out means."""
    if value is default or (default in {None, ()} and (value is False or value in ([], ()))):
        return True
    return (
        isinstance(value, str | int | float) and type(value) is type(default) and value == default
    )


def _short(value: object) -> str:
    """Format a setting: objects by the name of their class, functions by their own name."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_short, value))}]"
    if value is None or isinstance(value, str | bool | int | float):
        text = repr(value)
    elif isinstance(value, nn.Module) and not list(value.children()):
        text = repr(value)  # includes its arguments
    elif dataclasses.is_dataclass(value):
        text = repr(value)
    else:
        text = str(getattr(value, "__name__", type(value).__name__))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _thin(points: Points) -> Points:
    """Return the finite points, at most `MOST_POINTS` of them; none if there are fewer than two."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    every = max(1, math.ceil(len(finite) / MOST_POINTS))
    return finite[::-every][::-1] if len(finite) > 1 else []  # always keeps the last one


def _place(value: float, values: Sequence[float], size: int) -> float:
    """Map a value to a coordinate inside the margins."""
    lowest, highest = min(values), max(values)
    share = (value - lowest) / (highest - lowest) if highest > lowest else 0.5
    return MARGIN + share * (size - 2 * MARGIN)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
