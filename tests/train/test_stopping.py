"""Early stopping on tables of metric sequences."""

import math

import pytest

from afina.train.stopping import Stopping


def follow(values: list[float], **settings) -> tuple[Stopping, int | None]:
    """Feed values until patience ends; give the state and the evaluation it ended at."""
    stopping = Stopping(**settings)
    for number, value in enumerate(values, start=1):
        stopping.update(value, step=number * 10, epoch=number)
        if stopping.exhausted:
            return stopping, number
    return stopping, None


@pytest.mark.parametrize(
    ("values", "settings", "best_epoch", "ended"),
    [
        ([3, 2, 1, 2, 3], {"patience": 2}, 3, 5),
        ([3, 2, 1, 2, 0.5, 2, 3], {"patience": 2}, 5, 7),
        ([1, 2, 3], {"patience": None}, 1, None),
        ([0.1, 0.5, 0.4, 0.3], {"patience": 2, "higher_is_better": True}, 2, 4),
        # Steps too small to count run the patience out, and still the best one is kept.
        ([1.0, 0.99, 0.98, 0.97], {"patience": 3, "min_delta": 0.1}, 4, 4),
        ([math.nan, 2, math.nan, math.nan], {"patience": 2}, 2, 4),
        ([2, -math.inf, 1], {"patience": 1}, 2, 3),
    ],
)
def test_best_and_end(values, settings, best_epoch, ended) -> None:
    """The best evaluation is kept and patience ends where it should, NaN never being best."""
    stopping, at = follow(values, **settings)

    assert (stopping.best_epoch, at) == (best_epoch, ended)


def test_ties_keep_the_first() -> None:
    """An equal value is no improvement."""
    assert follow([1, 1, 1], patience=5)[0].best_epoch == 1


def test_nan_first_is_replaced_by_any_number() -> None:
    """A NaN at the start does not stay the best for ever."""
    assert follow([math.nan, 7], patience=5)[0].best == 7


def test_state_round_trips() -> None:
    """A state rebuilt from its dict goes on in the same way."""
    stopping, _ = follow([3, 2, 4], patience=3)
    again = Stopping(**stopping.to_dict())

    assert again == stopping
