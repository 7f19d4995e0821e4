"""What a trainer and its results show of themselves: a line, or a small page with a curve."""

import math
import sys
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
import torch
from torch import nn

import afina
from afina.errors import ConfigError
from afina.train import EpochEvent, EvalEvent, Result, StepEvent, StopEvent
from afina.train.lr_range import LrRange
from afina.train.notebook import MOST_POINTS, draw_html

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
ROWS = (X, X.sum(1, keepdim=True))


def points_of(html: str) -> list[int]:
    """Parse the HTML, and count the points of each curve."""
    page = ET.fromstring(html.replace("<br>", "<br/>"))  # noqa: S314 - our own text
    assert not {"script", "a", "img", "link"} & {part.tag for part in page.iter()}
    return [len(line.get("points").split()) for line in page.iter("polyline")]


def stopped(why: str = "", reason: str = "max_epochs", monitor: str | None = "val/loss"):
    return StopEvent(20, 5, reason, why, monitor, 0.25 if monitor else None, 16, 4)


def fit(**settings) -> tuple[afina.Trainer, Result]:
    arguments = {"loss": nn.MSELoss(), "lr": 0.1, "max_epochs": 5, "batch_size": 16}
    trainer = afina.Trainer(nn.Linear(3, 1), **arguments | settings)
    return trainer, trainer.fit(ROWS, ROWS)


def test_a_result_is_a_line() -> None:
    """It says why training ended and what was best; the history of every step is not in it."""
    _, result = fit()

    assert repr(result) == (
        f"Result(max_epochs after 5 epochs, 20 steps; best val/loss {result.stop.best:.4g} "
        f"at epoch {result.stop.best_epoch}; 4 trained parameters)"
    )
    assert "best" not in repr(Result(stopped(monitor=None), (), 1))


def test_a_notebook_shows_the_curves() -> None:
    """Training and validation loss, one point for each epoch."""
    _, result = fit()

    assert points_of(result._repr_html_()) == [5, 5]
    assert len(result._repr_html_()) < 2000


def test_a_single_epoch_has_no_curve() -> None:
    """One point is no line; the sentence alone is shown."""
    _, result = fit(max_epochs=1)

    assert "svg" not in result._repr_html_()
    assert "max_epochs after 1 epoch, 4 steps" in result._repr_html_()


def test_a_long_history_is_thinned() -> None:
    """The last point stays; values that are not finite have no point."""
    points = [(i, math.nan if i % 10 == 0 else 1 / i) for i in range(20_001)]
    html = draw_html("Result", "", {"loss": points})

    assert points_of(html)[0] <= MOST_POINTS
    assert draw_html("Result", "", {"loss": [(1, math.inf), (2, 1.0)]}).count("svg") == 0


def test_text_is_escaped() -> None:
    """Whatever a metric is called, it is shown as text."""
    stop = stopped(monitor="val/<script>&\"'")
    history = (EvalEvent(1, 1, {"val/loss": 1.0}, True), EvalEvent(2, 2, {"val/loss": 1.0}, False))
    html = Result(stop, history, 1)._repr_html_()

    assert "<script>" not in html
    assert "val/&lt;script&gt;&amp;" in html
    assert points_of(html) == [2]

    class Odd(nn.Module):
        pass

    Odd.__name__ = "<b>"
    settings = {"monitor": "val/<script>", "higher_is_better": True}
    trainer = afina.Trainer(Odd(), loss=nn.MSELoss(), **settings)
    assert "<script>" not in trainer._repr_html_()
    assert "of &lt;b&gt;" in trainer._repr_html_()


def test_a_range_test_shows_where_the_loss_falls() -> None:
    """The line has the suggestion; the curve ends where the loss diverges."""
    lr_range = LrRange((1e-3, 1e-2, 1e-1, 1.0), (1.0, 0.9, 0.8, math.inf), 0.01)

    assert repr(lr_range) == "LrRange(suggestion 0.01; rates tried: 0.001 to 1)"
    assert points_of(lr_range._repr_html_()) == [3]


def test_a_range_test_of_negative_losses_has_a_curve() -> None:
    """A likelihood may be below 0, or reach 0."""
    lrs = (1e-3, 1e-2, 1e-1)

    assert points_of(LrRange(lrs, (-1.0, -2.0, -1.5), 0.01)._repr_html_()) == [3]
    assert points_of(LrRange(lrs, (1.0, 0.5, 0.0), 0.01)._repr_html_()) == [3]
    assert points_of(LrRange((), (), 0.01)._repr_html_()) == []


def scores(outputs, targets, weights) -> dict[str, float]:
    return {"error": float((outputs - targets).abs().mean())}


def test_a_trainer_shows_what_differs_from_the_defaults() -> None:
    """Settings as they were written; modules and functions by name."""
    trainer = afina.Trainer(
        nn.Sequential(nn.Linear(3, 1)), loss=nn.MSELoss(), lr=0.1, scores=scores, patience=3
    )

    assert repr(trainer) == "Trainer(Sequential, loss=MSELoss(), lr=0.1, patience=3, scores=scores)"
    page = ET.fromstring(trainer._repr_html_())  # noqa: S314 - our own text
    cells = [cell.text for cell in page.iter("td")]
    assert cells == ["loss", "MSELoss()", "lr", "0.1", "patience", "3", "scores", "scores"]
    assert "Linear" not in repr(trainer)


def test_a_trainer_with_objects_is_still_a_line() -> None:
    """An optimizer, a schedule and observers are shown by the names of their classes."""
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    trainer = afina.Trainer(
        model, loss=nn.MSELoss(), optimizer=optimizer, schedule=schedule, observers=[scores]
    )

    assert repr(trainer) == (
        "Trainer(Linear, loss=MSELoss(), optimizer=SGD, schedule=StepLR, observers=[scores])"
    )


def test_a_frame_has_a_row_for_each_epoch_and_evaluation() -> None:
    """An epoch and its evaluation share a row; an evaluation within an epoch has its own."""
    history = (
        StepEvent(1, 0, 3.0, 0.1, 1.0),
        EvalEvent(1, 0, {"val/loss": 2.0}, True),
        EpochEvent(2, 1, 1.5),
        EvalEvent(2, 1, {"val/loss": 2.5, "val/error": 0.5}, False),
        EpochEvent(4, 2, 1.0),
    )
    frame = Result(stopped(), history, 1).to_pandas()

    expected = pd.DataFrame(
        {
            "step": [1, 2, 4],
            "epoch": [0, 1, 2],
            "train/loss": [math.nan, 1.5, 1.0],
            "val/loss": [2.0, 2.5, math.nan],
            "val/error": [math.nan, 0.5, math.nan],
            "best": [True, False, False],
        }
    )
    pd.testing.assert_frame_equal(frame, expected)


def test_a_frame_of_a_fit() -> None:
    """Every epoch of a real fit is there, and the best one is that of the result."""
    _, result = fit(scores=scores)
    frame = result.to_pandas()

    assert frame["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert list(frame.columns) == ["step", "epoch", "train/loss", "val/loss", "val/error", "best"]
    assert frame[frame["best"]]["val/loss"].iloc[-1] == result.stop.best
    assert Result(stopped(), (), 1).to_pandas().empty


def test_without_pandas_the_frame_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ConfigError, match=r"to_pandas needs pandas.*pip install pandas"):
        Result(stopped(), (), 1).to_pandas()
