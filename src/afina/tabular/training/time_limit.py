"""Limit the time of a fit: training stops early enough for the work that comes after it."""

import time
from collections.abc import Callable

from afina.train import EpochEvent, EvalEvent, Event, StepEvent, Stop

FINISHING_S = 2.2
"""Seconds for the work after training other than evaluations: model, scores, report, exit."""

FINISHING_IN_MEMORY_S = 0.1
"""The same where nothing is written."""

_FINISHING_TO_STARTUP = 1.5
"""The least of the same, as a multiple of Python's startup time: on a busy machine, both grow."""

_LOOKS_AFTER = 3.0
"""Evaluations to allow for after training: one in training's precision, and one in
float64, which takes twice as long."""


def choose_finishing_s(startup_s: float, *, in_memory: bool) -> float:
    """Choose how many seconds to reserve for the work after training other than evaluations.

    Example:
        >>> choose_finishing_s(0.0, in_memory=False), choose_finishing_s(4.0, in_memory=False)
        (2.2, 6.0)
    """
    if in_memory:
        return FINISHING_IN_MEMORY_S
    return max(FINISHING_S, _FINISHING_TO_STARTUP * startup_s)


class TimeLimit:
    """Request that training stop in time; an observer of `afina.train`.

    Args:
        limit_s: seconds from `started` to the end of the fit, report included.
        started: when the fit began, by `clock`.
        finishing_s: seconds for the work after training other than evaluations.
        look_s: seconds that an evaluation is expected to take, until the first one is measured.
        clock: returns monotonic seconds.

    Example:
        >>> now = 0.0
        >>> limit = TimeLimit(10.0, started=0.0, clock=lambda: now)
        >>> step = StepEvent(1, 0, 0.5, 0.1, 1.0)
        >>> limit(step) is None
        True
        >>> now = 9.0
        >>> limit(step)
        Stop(why='stop.time_limit=10 s is up')
    """

    def __init__(
        self,
        limit_s: float,
        *,
        started: float,
        finishing_s: float = FINISHING_S,
        look_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit_s = limit_s
        self.end = started + limit_s - finishing_s
        self.clock = clock
        self.look_s = look_s
        self._has_looked = False
        self._epoch_ended = clock()

    @property
    def why(self) -> str:
        """Why training stops."""
        return f"stop.time_limit={self.limit_s:g} s is up"

    def is_up(self) -> bool:
        """Return whether there is no time left, not even for a step."""
        return self._left(self.clock()) <= 0

    def __call__(self, event: Event) -> Stop | None:
        """Return a reason to stop after this event, or None if there is time left."""
        now = self.clock()
        if isinstance(event, EpochEvent):
            self._epoch_ended = now
        elif isinstance(event, EvalEvent):
            look_s = now - self._epoch_ended
            self.look_s = max(self.look_s, look_s) if self._has_looked else look_s
            self._has_looked = True
        elif not isinstance(event, StepEvent):
            return None
        return None if self._left(now) > 0 else Stop(self.why)

    def _left(self, now: float) -> float:
        return self.end - now - _LOOKS_AFTER * self.look_s
