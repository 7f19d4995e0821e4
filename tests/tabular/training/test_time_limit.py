"""A fit that ends in time."""

import pytest

from afina.config import apply_settings
from afina.tabular import fit_table
from afina.tabular.training.time_limit import FINISHING_S, TimeLimit, choose_finishing_s
from afina.train import CheckpointEvent, EpochEvent, EvalEvent, StepEvent, Stop

STEP = StepEvent(1, 0, 0.5, 0.1, 1.0)


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_training_stops_before_the_end_is_near() -> None:
    """Without a look so far, what comes after training has its fixed share of the time."""
    clock = Clock()
    limit = TimeLimit(10.0, started=100.0, clock=clock)
    clock.now = 110.0 - FINISHING_S - 0.01
    early = limit(STEP)
    clock.now = 110.0 - FINISHING_S

    assert early is None
    assert limit(STEP) == Stop("stop.time_limit=10 s is up")


def test_time_for_looks_is_kept() -> None:
    """The longest look so far is kept free three times: one in training, two for the scores."""
    clock = Clock()
    limit = TimeLimit(60.0, started=100.0, clock=clock)
    limit(EpochEvent(10, 1, 0.5))
    clock.now = 104.0  # a look of 4 s
    limit(EvalEvent(10, 1, {}, True, False))
    clock.now = 160.0 - FINISHING_S - 12.01
    early = limit(STEP)
    clock.now = 160.0 - FINISHING_S - 12.0

    assert early is None
    assert limit(STEP) is not None


def test_an_expected_look_counts_until_one_was_measured() -> None:
    """Before the first evaluation, the time that it should take is kept free three times."""
    clock = Clock()
    limit = TimeLimit(100.0, started=100.0, finishing_s=0.0, look_s=4.0, clock=clock)
    clock.now = 187.99
    early = limit.is_up(), limit(STEP)
    clock.now = 188.0
    late = limit.is_up(), limit(STEP)
    limit(EpochEvent(3, 1, 0.5))
    clock.now = 188.5
    measured = limit(EvalEvent(3, 1, {}, True, False))

    assert early == (False, None)
    assert late == (True, Stop("stop.time_limit=100 s is up"))
    assert (measured, limit.look_s) == (None, 0.5)


def test_more_is_reserved_where_python_starts_slowly() -> None:
    """On a busy machine, the end takes longer too; in memory there is nothing to write."""
    assert choose_finishing_s(1.0, in_memory=False) == FINISHING_S
    assert choose_finishing_s(10.0, in_memory=False) == 15.0
    assert choose_finishing_s(10.0, in_memory=True) < 1


def test_checkpoints_stop_nothing(tmp_path) -> None:
    """A record that is neither a step, an epoch nor a look is no occasion to stop."""
    limit = TimeLimit(1.0, started=0.0, clock=Clock())

    assert limit(CheckpointEvent(1, tmp_path)) is None


def test_a_fit_stops_in_time(tables, kinds_csv, tmp_path) -> None:
    """Training that would go on for hours stops, on the best weights so far, and says why."""
    config = apply_settings(
        tables.config(), ["train.max_epochs=1000000", "stop.patience=none", "stop.time_limit=3"]
    )
    summary = fit_table(kinds_csv, target="kind", config=config, out=tmp_path / "run").summary

    assert summary["stop"]["why"] == "stop.time_limit=3 s is up"


@pytest.mark.parametrize("limit", ["0", "-1", "nan"])
def test_limits_that_cannot_be(tables, limit) -> None:
    """A limit is a number above 0."""
    with pytest.raises(ValueError, match="time_limit"):
        apply_settings(tables.config(), [f"stop.time_limit={limit}"])
