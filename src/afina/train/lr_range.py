"""The learning-rate range test: what the loss does while the rate rises, and a rate to begin with."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from afina.errors import AfinaWarning, ConfigError, NonFiniteError
from afina.train.events import Event, StepEvent
from afina.train.loop import Job, Limits, train
from afina.train.settings import DEFAULT_LR
from afina.train.state import TrainState

SMOOTHING = 0.95
DIVERGED = 4.0
BELOW_EDGE = 10.0
CLEARLY = 0.98
NEARLY = 1.05


@dataclass(frozen=True)
class LrRange:
    """What a range test found.

    Args:
        lrs: learning rates, rising by a constant factor.
        losses: training loss at each, smoothed over the steps before it.
        suggestion: a tenth of the largest rate whose loss is within 5 % of the smallest one, as
            that rate is already on the way to divergence. The default where the loss fell clearly
            at no rate.

    Source: Smith 2017, arXiv:1506.01186, section 3.3.
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


def run_range(
    job: Job, state: TrainState, *, lowest: float, highest: float, n_steps: int
) -> LrRange:
    """Train while the learning rate rises from `lowest` to `highest`; stop when it diverges.

    Args:
        job: what is trained, without validation rows; its model and optimizer are moved.
        state: a fresh one.
        lowest: first learning rate of the first parameter group; the others keep their ratio.
        highest: learning rate of the last step, if the loss does not diverge before.
        n_steps: steps, at least 2.
    """
    if not (0.0 < lowest < highest < math.inf and n_steps >= 2):
        raise ConfigError(
            f"find_lr needs 0 < lowest < highest and n_steps of at least 2, however: "
            f"{lowest=}, {highest=}, {n_steps=}."
        )
    lrs: list[float] = []
    losses: list[float] = []
    growth = (highest / lowest) ** (1.0 / (n_steps - 1))

    def follow(event: Event) -> str | None:
        if not isinstance(event, StepEvent):
            return None
        lrs.append(event.lr)
        losses.append(_smoothed(losses, event.loss))
        if losses[-1] > DIVERGED * min(losses):
            return "the loss diverges"
        return None

    rising = replace(
        job,
        lrs=[lr / job.lrs[0] * lowest for lr in job.lrs],
        schedule=_power(growth),
        limits=Limits(max_epochs=n_steps, max_steps=n_steps),
        notify=follow,
    )
    try:
        train(rising, state)
    except NonFiniteError:  # that is where rates are too high
        if not losses:
            raise
    return LrRange(tuple(lrs), tuple(losses), _suggest(lrs, losses, n_steps))


def _suggest(lrs: Sequence[float], losses: Sequence[float], n_steps: int) -> float:
    """Return a tenth of the last rate with nearly the smallest loss, if there was a clear fall."""
    n_first = max(2, n_steps // 10)  # the losses of the first few batches are mostly chance
    start = losses[min(n_first, len(losses)) - 1]
    later = range(min(n_first, len(losses) - 1), len(losses))
    smallest = min(losses[i] for i in later)
    if smallest < CLEARLY * start:
        # The last of those near the minimum: where it is flat, the smallest itself is chance.
        return lrs[max(i for i in later if losses[i] <= NEARLY * smallest)] / BELOW_EDGE
    warnings.warn(
        f"the loss fell clearly at no learning rate from {lrs[0]:.2g} to {lrs[-1]:.2g}; the default "
        f"of {DEFAULT_LR:g} is suggested",
        AfinaWarning,
        stacklevel=2,
    )
    return DEFAULT_LR


def _power(growth: float) -> Callable[[int], float]:
    return lambda step: growth**step


def _smoothed(before: list[float], loss: float) -> float:
    """Return the exponential average of the losses so far, without the pull of its first value."""
    n = len(before)
    weight = (1.0 - SMOOTHING) / (1.0 - SMOOTHING ** (n + 1))
    mean = loss if n == 0 else before[-1] + weight * (loss - before[-1])
    return mean if math.isfinite(mean) else math.inf
