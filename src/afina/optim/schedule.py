"""Learning-rate schedules: pure functions of the step, so that there is no state to resume."""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

ScheduleName: TypeAlias = Literal["constant", "cosine", "onecycle"]

ONECYCLE_RISE_FRAC = 0.25
ONECYCLE_START = 1.0 / 25.0
ONECYCLE_END = 1e-4


def make_schedule(
    name: ScheduleName, *, total_steps: int, warmup_steps: int = 0
) -> Callable[[int], float]:
    """Make the function from the step about to be taken (the first is 0) to the factor of the lr.

    With a warm-up, step s < warmup_steps has the factor (s + 1) / warmup_steps of the schedule's
    own first value; the schedule itself then runs over the steps that are left. Steps after
    total_steps keep the last value.

    constant: 1. cosine: (1 + cos(pi s / n)) / 2, which is 0 at s = n, just after the last of n
    steps. onecycle: a half cosine up from 1/25 to 1 over the first quarter, and one down to 1e-4
    at the last step.

    Args:
        total_steps: steps of the whole run, warm-up included, at least 1.
        warmup_steps: steps of the linear rise, at least 0.

    Raises:
        ValueError: an unknown name, or a count that cannot be.

    Example:
        >>> factor = make_schedule("cosine", total_steps=6, warmup_steps=2)
        >>> [round(factor(step), 3) for step in range(7)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine); Smith & Topin 2018,
        arXiv:1708.07120 (one cycle).
    """
    if total_steps < 1:
        raise ValueError(f"total_steps must be at least 1, however: {total_steps=}.")
    if warmup_steps < 0:
        raise ValueError(f"warmup_steps must be at least 0, however: {warmup_steps=}.")
    if name not in ("constant", "cosine", "onecycle"):
        raise ValueError(f"schedule must be constant, cosine or onecycle, however: {name=}.")
    n = max(total_steps - warmup_steps, 1)

    def course(step: int) -> float:
        if name == "constant":
            return 1.0
        return _cosine(min(step, n), n) if name == "cosine" else _onecycle(min(step, n - 1), n)

    def factor(step: int) -> float:
        if step < 0:
            raise ValueError(f"step must be at least 0, however: {step=}.")
        if step < warmup_steps:
            return (step + 1) / warmup_steps * course(0)
        return course(step - warmup_steps)

    return factor


def _cosine(step: int, n: int) -> float:
    return (1.0 + math.cos(math.pi * step / n)) / 2.0


def _onecycle(step: int, n: int) -> float:
    """Rise up to step n / 4 - 1 and fall up to step n - 1, as torch counts its two phases."""
    peak = max(ONECYCLE_RISE_FRAC * n - 1.0, 0.0)
    if step <= peak:
        done, start, end = (step / peak if peak else 1.0), ONECYCLE_START, 1.0
    else:
        done, start, end = (step - peak) / (n - 1.0 - peak), 1.0, ONECYCLE_END
    return end + (start - end) * (1.0 + math.cos(math.pi * done)) / 2.0
