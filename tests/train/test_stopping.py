"""Early stopping on tables of metric sequences."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import ConfigError
from afina.train.grokking import GrokkingSigns
from afina.train.settings import StopSettings
from afina.train.stopping import Stopping, relative_fall


def follow(values: list[float], **settings) -> tuple[Stopping, int | None]:
    """Feed values until patience ends; give the state and the evaluation it ended at."""
    stopping = Stopping(StopSettings(**settings))
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
        # A quarter of the eight evaluations to the best is two, and patience is no less than one.
        ([8, 7, 6, 5, 4, 3, 2, 1, 2, 3, 4], {"patience": 1, "patience_share": 0.25}, 8, 10),
        ([2, 1, 2, 3], {"patience": 1, "patience_share": 0.25}, 2, 3),
        ([3, 2, 1, *[2] * 9], {"patience": None, "patience_share": 0.25}, 3, None),
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
    stopping, _ = follow([3, 2, 4], patience=3, patience_share=0.5)
    again = Stopping(stopping.settings)
    again.restore(stopping.to_dict())

    assert again == stopping


PATIENCE = 4
FALLING = [100 * 0.99**n for n in range(40)]
FLAT = [100 + 0.01 * (-1) ** n for n in range(40)]
RISING = FALLING[::-1]


def signs(scale: float = 1.0, *, train: float = 1e-3, val: float = 5.0, decays: bool = True):
    return GrokkingSigns(train, val, decays, scale)


def extended(patience: int, budget: float) -> StopSettings:
    return StopSettings(
        patience=patience, patience_extends_while="grokking", patience_budget=budget
    )


def follow_signs(sequence: list[GrokkingSigns], budget: float = 50.0) -> tuple[Stopping, int]:
    """Feed evaluations 100 steps apart until patience ends; give the state and their number."""
    stopping = Stopping(extended(PATIENCE, budget))
    for number, one in enumerate(sequence, start=1):
        stopping.update(one.val_loss, step=number * 100, epoch=number, signs=one)
        if stopping.exhausted:
            return stopping, number
    return stopping, len(sequence) + 1


@pytest.mark.parametrize(
    ("sequence", "ended", "said"),
    [
        # As long as the norm falls, it is waited for; plain patience ends at evaluation 5.
        ([signs(x) for x in FALLING], 41, "is extended"),
        ([signs(x) for x in FLAT], 5, "was not extended: the norm of the decayed weights"),
        ([signs(x) for x in RISING], 5, "was not extended: the norm of the decayed weights"),
        ([signs(x, decays=False) for x in FALLING], 5, "weight decay is off"),
        ([signs(x, train=0.6) for x in FALLING], 5, "training loss, 0.6, is not at its floor"),
        ([signs(x, train=-9.0) for x in FALLING], 5, "is not at its floor"),
        ([signs(x, train=math.nan) for x in FALLING], 5, "is not at its floor"),
        ([signs(x, val=math.nan) for x in FALLING], 4, "validation loss, unknown"),
        ([signs(x) for x in [0.0] * 40], 5, "the norm of the decayed weights"),
        ([signs(x) for x in [math.nan] * 40], 5, "the norm of the decayed weights"),
        # It is let go of within one patience of standing still.
        ([signs(x) for x in FALLING[:20] + [FALLING[20]] * 20], 25, "extended by 20 evaluations"),
        # One bad evaluation decides nothing, in either direction.
        ([signs(x * (1.02 if n == 30 else 1)) for n, x in enumerate(FALLING)], 41, "is extended"),
        ([signs(x, train=9.0 if n == 30 else 1e-3) for n, x in enumerate(FALLING)], 41, "is ext"),
        # While the training loss falls to less than half over one patience, the norm may grow.
        ([signs(x, train=0.4 * 0.8**n) for n, x in enumerate(RISING)], 41, "is extended"),
        ([signs(x, train=0.4 * 0.9**n) for n, x in enumerate(RISING)], 5, "changed by +4"),
    ],
)
def test_extension(sequence, ended, said) -> None:
    """Patience is extended while all signs hold, and the reason names the one that does not."""
    stopping, at = follow_signs(sequence)

    assert at == ended
    assert said in stopping.why("val/loss")


@pytest.mark.parametrize(("budget", "ended"), [(1, 5), (1.1, 6), (2, 10), (3.01, 16)])
def test_budget(budget, ended) -> None:
    """The budget ends it, in multiples of the steps at which patience first ran out."""
    stopping, at = follow_signs([signs(x) for x in FALLING], budget)

    assert at == ended
    assert "the budget is spent" in stopping.why("val/loss")
    assert "the 500 steps" in stopping.why("val/loss")


def test_patience_is_plain_again_when_validation_has_followed() -> None:
    """After late generalization plain patience ends training, although the norm still falls."""
    values = [5.0] * 10 + [0.4] * 30
    stopping, at = follow_signs([signs(x, val=v) for x, v in zip(FALLING, values, strict=True)])

    assert at == 11 + PATIENCE
    assert "validation has improved too: its loss fell from 5 to 0.4" in stopping.why("val/loss")


def test_an_improvement_is_no_extension() -> None:
    """As long as the metric improves nothing is extended, whatever the signs."""
    stopping, at = follow_signs([signs(val=5.0 - 0.01 * n) for n in range(40)])

    assert at == 41
    assert not stopping.extending
    assert stopping.extension.n_extended == 0


def test_without_signs_patience_is_plain() -> None:
    """An extension that is told nothing extends nothing."""
    stopping = Stopping(extended(2, 50.0))
    for epoch in (1, 2, 3):
        stopping.update(1.0, step=epoch, epoch=epoch)

    assert stopping.exhausted


def resumed(
    sequence: list[GrokkingSigns], at: int, *, budget: float = 50.0, forget: str = ""
) -> int:
    """Follow a sequence with a save and a resume at some evaluation; say where it ends."""
    stopping = Stopping(extended(PATIENCE, budget))
    for number, one in enumerate(sequence, start=1):
        if number == at:
            saved = json.loads(json.dumps(stopping.to_dict()))
            saved["extension"].pop(forget, None)
            stopping = Stopping(stopping.settings)
            stopping.restore(saved)
        stopping.update(one.val_loss, step=number * 100, epoch=number, signs=one)
        if stopping.exhausted:
            return number
    return len(sequence) + 1


@given(
    scales=st.lists(st.floats(0.1, 10.0), min_size=20, max_size=20),
    trains=st.lists(st.floats(0.0, 1.0), min_size=20, max_size=20),
    at=st.integers(1, 20),
)
def test_a_resume_goes_on_in_the_same_way(scales, trains, at) -> None:
    """Wherever a run is saved and resumed, it ends where it would have ended."""
    sequence = [signs(x, train=t) for x, t in zip(scales, trains, strict=True)]

    assert resumed(sequence, at) == follow_signs(sequence)[1]


@pytest.mark.parametrize("name", ["scales", "first_step"])
def test_seeded_fault_a_forgotten_field_is_caught(name) -> None:
    """A resume that lost the window, or where the budget began, ends elsewhere: seeded fault."""
    sequence = [signs(x) for x in FALLING]

    assert resumed(sequence, 10, budget=4) == 20
    assert resumed(sequence, 10, budget=4, forget=name) != 20


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patience_extends_while": "luck"}, 'must be "grokking", or None; got .*luck'),
        ({"patience_budget": 0.5}, "must be a number, at least 1; got patience_budget=0.5"),
        ({"patience_budget": math.nan}, "at least 1"),
        ({"patience": 0}, "patience must be a whole number, at least 1, or None; got patience=0"),
    ],
)
def test_settings_that_cannot_be(changes, said) -> None:
    """What cannot be is refused by name."""
    with pytest.raises(ConfigError, match=said):
        StopSettings(**changes)


def test_nothing_is_extended_unasked() -> None:
    """Without the setting there is no extension, and "none" is the same."""
    assert Stopping(StopSettings()).extension is None
    assert Stopping(StopSettings(patience_extends_while="none")).extension is None


@given(
    start=st.floats(1e-3, 1e3), rate=st.floats(0.5, 1.5), n=st.integers(2, 30), unit=st.floats(1, 9)
)
def test_relative_fall(start, rate, n, unit) -> None:
    """The fall of a geometric sequence is exact, in whatever unit it is measured."""
    scales = [start * rate**i for i in range(n)]

    assert relative_fall(scales) == pytest.approx(1 - rate ** (n - 1), rel=1e-6, abs=1e-9)
    assert relative_fall([s * unit for s in scales]) == pytest.approx(
        relative_fall(scales), rel=1e-6, abs=1e-9
    )


def test_relative_fall_of_extremes() -> None:
    """A rise beyond what float64 can hold is an endless one, not an error."""
    assert relative_fall([5e-324, 1e-160, 1.0, 1.0, 1.0]) < -1e300
    assert relative_fall([1.0, 1.0, 1e-160, 5e-324]) == 1
