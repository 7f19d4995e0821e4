"""Observers read; only `Stop` stops."""

import pytest
import torch
from torch import nn

import afina
from afina.errors import ConfigError
from afina.train import Stop, Trainer
from afina.train.events import Event

X = torch.ones(8, 2)


def fit(observer, **settings):
    arguments = {"loss": nn.MSELoss(), "max_epochs": 3, "batch_size": 4} | settings
    return Trainer(nn.Linear(2, 1), observers=observer, **arguments).fit((X, X[:, :1]))


@pytest.mark.parametrize("returned", [True, 1, "a line of text", object(), ["x"], False, None])
def test_nothing_but_stop_stops(returned) -> None:
    """A progress bar's True, or a text, does not end training."""
    stop = fit([lambda _event: returned]).stop

    assert (stop.step, stop.reason) == (6, "max_epochs")


def test_stop_ends_with_its_reason_whoever_else_observes() -> None:
    """Stop from one observer counts, and the others hear of the end."""
    heard: list[Event] = []

    def third(event: Event) -> Stop | None:
        return Stop("three steps are enough") if event.step == 3 else None

    stop = fit([third, lambda event: heard.append(event) or True]).stop

    assert (stop.step, stop.reason, stop.why) == (3, "observer", "three steps are enough")
    assert heard[-1] == stop
    assert afina.Stop is Stop


@pytest.mark.parametrize("why", ["", None, 3])
def test_stop_has_a_reason(why) -> None:
    """A stop without a reason in words is refused."""
    with pytest.raises(ConfigError, match="Stop needs a reason in words; got"):
        Stop(why)


def test_the_class_in_place_of_a_stop_is_named() -> None:
    """An observer that forgets to call Stop is told so."""
    with pytest.raises(
        ConfigError, match=r"must return Stop\(why\) to stop training; got the class Stop"
    ):
        fit([lambda _event: Stop])
