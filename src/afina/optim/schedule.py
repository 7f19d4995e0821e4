"""Learning-rate schedules: pure functions of the step, with no state to restore."""

import math
from collections.abc import Callable
from typing import get_args

from afina.nn.arguments import check_choice, check_sizes
from afina.optim.settings import ScheduleName

ONECYCLE_RISE_FRAC = 0.25
ONECYCLE_START = 1.0 / 25.0
ONECYCLE_END = 1e-4


def make_schedule(
    name: ScheduleName, *, total_steps: int, warmup_steps: int = 0
) -> Callable[[int], float]:
    """Return a function that maps a step, counted from 0, to the factor of its learning rate.

    With a warm-up, step s < warmup_steps has (s + 1) / warmup_steps of the schedule's first value;
    the schedule then runs over the remaining steps. Steps after total_steps keep the last value.

    constant: 1. cosine: (1 + cos(pi s / n)) / 2, which is 0 at s = n, just after the last of n
    steps. onecycle: a half cosine up from 1/25 to 1 over the first quarter, and one down to 1e-4 at
    the last step. flat_cos: 1 for the first half of the steps, then a half cosine down to 0 at s =
    n. coslog4: (1 - cos(2 pi log2(1 + 15 t))) / 2 with t = (s + 1/2) / n: four waves from 0 to 1
    and back, each twice as long as the one before, near 0 at steps 0, n / 15, n / 5, 7 n / 15 and
    n; evaluated in the middle of each step, so that no step has a factor of exactly 0.

    Args:
        total_steps: steps of the whole run, warm-up included, at least 1.
        warmup_steps: steps of the linear rise, at least 0; 0 for coslog4, which rises from 0.

    Raises:
        ValueError: the name is unknown, a count is out of range, or coslog4 has a warm-up.

    Example:
        >>> factor = make_schedule("cosine", total_steps=6, warmup_steps=2)
        >>> [round(factor(step), 3) for step in range(7)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983 (cosine); Smith & Topin 2018,
        arXiv:1708.07120 (one cycle); Holzmueller, Grinsztajn & Steinwart 2024, arXiv:2407.04491
        (flat_cos, coslog4).
    """
    check_sizes(total_steps=total_steps)
    if warmup_steps < 0:
        raise ValueError(f"warmup_steps must be at least 0; got {warmup_steps=}.")
    check_choice("schedule", name, get_args(ScheduleName))
    if name == "coslog4" and warmup_steps:
        raise ValueError(
            f"coslog4 must be used without warm-up, because it rises from 0; got {warmup_steps=}. "
            "Use warmup_steps=0."
        )
    n = max(total_steps - warmup_steps, 1)

    def factor(step: int) -> float:
        if step < 0:
            raise ValueError(f"step must be at least 0; got {step=}.")
        if step < warmup_steps:
            return (step + 1) / warmup_steps * _course(name, 0, n)
        return _course(name, step - warmup_steps, n)

    return factor


def _course(name: ScheduleName, step: int, n: int) -> float:
    match name:
        case "constant":
            return 1.0
        case "cosine":
            return _cosine(min(step, n), n)
        case "flat_cos":
            return _cosine(max(2 * min(step, n) - n, 0), n)
        case "coslog4":
            return _coslog4((min(step, n - 1) + 0.5) / n)
    return _onecycle(min(step, n - 1), n)


def _cosine(step: int, n: int) -> float:
    return (1.0 + math.cos(math.pi * step / n)) / 2.0


def _coslog4(share: float) -> float:
    return (1.0 - math.cos(2.0 * math.pi * math.log2(1.0 + 15.0 * share))) / 2.0


def _onecycle(step: int, n: int) -> float:
    """Rise until step n / 4 - 1 and fall until step n - 1, as torch counts its two phases."""
    peak = max(ONECYCLE_RISE_FRAC * n - 1.0, 0.0)
    if step <= peak:
        done, start, end = (step / peak if peak else 1.0), ONECYCLE_START, 1.0
    else:
        done, start, end = (step - peak) / (n - 1.0 - peak), 1.0, ONECYCLE_END
    return end + (start - end) * (1.0 + math.cos(math.pi * done)) / 2.0
