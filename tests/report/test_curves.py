"""The curves of training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afina.records.metrics_jsonl import StopRecord
from afina.report.chart import Chart
from afina.report.curves import grad_norm_chart, loss_chart, lr_chart, score_chart
from afina.report.metrics import Curve, Metrics, read_metrics

Maker = Callable[..., Path]


def _texts(chart: Chart | None) -> list[str]:
    assert chart is not None
    texts: list[str] = []
    for layer in chart.spec["layer"]:
        text = layer["encoding"].get("text", {}).get("value")
        texts += [text] if text else []
    return texts


def _metrics(train: Curve, stop: StopRecord | None = None, **more: Any) -> Metrics:
    given = {"val": {}, "lr": Curve(), "grad_norm": Curve(), "step": 1, "epoch": 1} | more
    return Metrics(train_loss=train, stop=stop, **given)


def test_best_and_stop_are_marked(make_run: Maker) -> None:
    """The best checkpoint and the stopping point stand on the axis, labelled with their epochs."""
    metrics = read_metrics(make_run("binary") / "metrics.jsonl")
    chart = loss_chart(metrics, metrics.stop, "nats per row")
    assert chart is not None
    assert set(_texts(chart)) == {"best: epoch 28", "stopped: epoch 44"}
    data = chart.spec["datasets"]
    assert data["best"] == [{"x": 28, "y": metrics.val["val/loss"].y[27]}]
    assert data["stopped"] == [{"x": 44}]
    assert {row["of"] for row in data["curve"]} == {"training", "validation"}


def test_best_at_the_end_is_one_label(make_run: Maker) -> None:
    """Where the last epoch is the best, one label says both."""
    stop = StopRecord(step=14, epoch=1, monitor="val/loss", best=0.5, best_step=14, best_epoch=1)
    metrics = _metrics(Curve([1], [0.6]), stop, val={"val/loss": Curve([1], [0.5])})
    assert _texts(loss_chart(metrics, stop, "nats")) == ["best and stopped: epoch 1"]


def test_a_run_without_validation_has_a_stop_only() -> None:
    """Without validation rows nothing is best, and the training curve stands alone."""
    stop = StopRecord(step=14, epoch=2)
    chart = loss_chart(_metrics(Curve([1, 2], [0.6, 0.5]), stop), stop, "nats")
    assert _texts(chart) == ["stopped: epoch 2"]


def test_an_unfinished_run_has_no_marks(make_run: Maker) -> None:
    """While a run goes on, nothing is marked."""
    metrics = read_metrics(make_run("unfinished") / "metrics.jsonl")
    assert _texts(loss_chart(metrics, None, "nats")) == []


def test_one_epoch_is_a_point_with_room() -> None:
    """A single epoch is drawn as a point, not at the edge."""
    chart = loss_chart(_metrics(Curve([1], [0.6])), None, "nats")
    assert chart is not None
    x = chart.spec["layer"][0]["encoding"]["x"]
    assert x["scale"]["domain"] == [0, 2]


def test_nothing_to_draw() -> None:
    """Without one finite value there is no chart."""
    metrics = _metrics(Curve([1], [None]))
    assert loss_chart(metrics, None, "nats") is None
    assert score_chart(metrics, None, "accuracy") is None
    assert lr_chart(metrics, None) is None
    assert grad_norm_chart(metrics, None, 1.0) is None


def test_gaps_are_said() -> None:
    """Values that were not finite are gaps, and the caption counts them."""
    chart = loss_chart(_metrics(Curve([1, 2, 3], [0.6, None, 0.5])), None, "nats")
    assert chart is not None
    assert chart.caption.startswith("1 of the values")


def test_decades_are_read_on_a_log_axis() -> None:
    """A gradient that falls over decades stands on a log axis, its zeros left out and counted."""
    norms: list[float | None] = [100.0, 1.0, 0.01, 0.0]
    chart = grad_norm_chart(_metrics(Curve(), grad_norm=Curve([1, 2, 3, 4], norms)), None, 1.0)
    assert chart is not None
    y = chart.spec["layer"][0]["encoding"]["y"]
    assert y["scale"]["type"] == "log"
    assert y["axis"]["values"] == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert y["axis"]["title"].endswith("log scale")
    assert "1 of the values" in chart.caption
    assert chart.spec["datasets"]["limit"] == [{"y": 1.0}]


def test_long_runs_are_thinned_with_their_peak() -> None:
    """Of 100,000 steps about a thousand are drawn, the highest gradient among them."""
    norms: list[float | None] = [1.0 + (i % 7) / 10 for i in range(100_000)]
    norms[31_415] = 55.0
    steps: list[float] = list(range(1, 100_001))
    chart = grad_norm_chart(_metrics(Curve(), grad_norm=Curve(steps, norms)), None, None)
    assert chart is not None
    rows = chart.spec["datasets"]["curve"]
    assert len(rows) <= 1000
    assert {"x": 31_416, "y": 55.0} in rows
    assert len(json.dumps(chart.spec)) < 60_000


@settings(max_examples=20, deadline=None)
@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_any_loss_can_be_drawn(values: list[float | None]) -> None:
    """No course of the loss, however wild, stops the report."""
    curve = Curve(list(range(1, len(values) + 1)), values)
    chart = loss_chart(_metrics(curve), None, "nats")
    assert (chart is None) == (not curve.finite())
    if chart is not None:
        json.dumps(chart.spec, allow_nan=False)


def test_an_evaluation_within_an_epoch_is_named_by_its_step() -> None:
    """The marks name whole epochs, and the step of an evaluation between two; no fraction."""
    val = {"val/loss": Curve([0.5, 1.5], [0.7, 0.6])}
    metrics = _metrics(Curve([1, 2], [0.6, 0.5]), val=val, epochs_per_step=0.01)
    stop = StopRecord(step=200, epoch=2, best=0.6, best_step=150, best_epoch=1)
    texts = _texts(loss_chart(metrics, stop, "nats"))

    assert texts == ["stopped: epoch 2", "best: epoch 2, step 150"]


@pytest.mark.parametrize("n_epochs", [2, 3, 5, 7])
def test_few_epochs_have_a_tick_each(n_epochs: int) -> None:
    """Ticks are whole epochs, none of them twice."""
    chart = loss_chart(_metrics(Curve([*range(1, n_epochs + 1)], [0.5] * n_epochs)), None, "nats")
    assert chart is not None
    axis = chart.spec["layer"][0]["encoding"]["x"]["axis"]

    assert axis["values"] == [*range(1, n_epochs + 1)]
    assert axis["format"] == ",d"
