"""Limit the time of a fit: training stops early enough for the work that comes after it."""

import time
from collections.abc import Callable

from afina.train import EpochEvent, EvalEvent, Event, StepEvent, Stop

FINISHING_S = 2.2
"""Seconds for the work after training other than evaluations: model, scores, report, exit."""

_LOOKS_AFTER = 3.0
"""Evaluations to allow for after training: one in training's precision, and one in
float64, which takes twice as long."""


class TimeLimit:
    """Request that training stop in time; an observer of `afina.train`.

    Args:
        limit_s: seconds from `started` to the end of the fit, report included.
        started: when the fit began, by `clock`.
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
        self, limit_s: float, *, started: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit_s = limit_s
        self.end = started + limit_s - FINISHING_S
        self.clock = clock
        self.look_s = 0.0
        self._epoch_ended = clock()

    def __call__(self, event: Event) -> Stop | None:
        """Return a reason to stop after this event, or None if there is time left."""
        now = self.clock()
        if isinstance(event, EpochEvent):
            self._epoch_ended = now
        elif isinstance(event, EvalEvent):
            self.look_s = max(self.look_s, now - self._epoch_ended)
        elif not isinstance(event, StepEvent):
            return None
        left = self.end - now - _LOOKS_AFTER * self.look_s
        return None if left > 0 else Stop(f"stop.time_limit={self.limit_s:g} s is up")
