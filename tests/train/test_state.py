"""The state of a run: saved and restored, or an error that says why not."""

import pytest

from afina.errors import CheckpointError
from afina.optim import Average
from afina.train.settings import StopSettings
from afina.train.state import TrainState
from afina.train.stopping import Stopping


def test_a_state_comes_back() -> None:
    """Everything but the tensors survives a round trip through JSON."""
    state = TrainState(
        Stopping(StopSettings(patience=3)), step=7, epoch=1, step_in_epoch=2, epoch_loss=0.1
    )
    state.average = Average("ema")
    state.average.n_updates = 4
    state.loss_scale = 512.0
    other = TrainState(Stopping(StopSettings(patience=None)), average=Average("ema"))
    other.restore(state.to_dict(), {"average": {}})

    assert other.to_dict() == state.to_dict()


@pytest.mark.parametrize(
    "harm",
    [
        {"step": "many"},
        {"step": None},
        {"stopping": None},
        {"stopping": {"best": 1, "exec": "x"}},
        {"stop": {"step": 1}},
        {"n_averaged": []},
    ],
)
def test_a_state_that_cannot_be_is_an_error(harm) -> None:
    """Content that no run wrote is a CheckpointError, even under a correct checksum."""
    d = TrainState(Stopping(StopSettings(patience=None))).to_dict() | harm
    with pytest.raises(CheckpointError, match="must hold the state of a run"):
        TrainState(Stopping(StopSettings(patience=None)), average=Average("ema")).restore(d, {})
