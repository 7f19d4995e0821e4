"""The learning-rate range test: the loss while the rate rises, and a suggested rate."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from afina.errors import AfinaWarning, ConfigError, NonFiniteError
from afina.optim.settings import DEFAULT_LR
from afina.train.events import Event, StepEvent
from afina.train.loop import TrainSetup, train
from afina.train.notebook import draw_html, range_curve
from afina.train.state import TrainState

SMOOTHING = 0.95
DIVERGED = 4.0
BELOW_EDGE = 10.0
CLEARLY = 0.98
NEARLY = 1.05


@dataclass(frozen=True)
class LrRange:
    """The result of a range test.

    Args:
        lrs: learning rates, each larger than the one before by a constant factor.
        losses: training loss at each rate, smoothed over the previous steps.
        suggestion: a tenth of the largest rate whose loss is within 5 % of the smallest loss,
            because that rate is already close to divergence. The default learning rate if the loss
            did not fall clearly at any rate.

    Source: Smith 2017, arXiv:1506.01186, section 3.3.
    """

    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float

    def __repr__(self) -> str:
        return f"LrRange({self._sentence()})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the text, with a plot of the loss against the rate."""
        return draw_html("LrRange", self._sentence(), range_curve(self.lrs, self.losses))

    def _sentence(self) -> str:
        span = f"{self.lrs[0]:.3g} to {self.lrs[-1]:.3g}" if self.lrs else "none"
        return f"suggestion {self.suggestion:.3g}; rates tried: {span}"


def run_range(
    setup: TrainSetup, state: TrainState, *, lowest: float, highest: float, n_steps: int
) -> LrRange:
    """Train while the learning rate rises from `lowest` to `highest`; stop when it diverges.

    Args:
        setup: a setup without validation rows, whose model is trained by its optimizer.
        state: a new state.
        lowest: first learning rate of the first parameter group; the others keep their ratio.
        highest: learning rate of the last step, unless the loss diverges earlier.
        n_steps: number of steps, at least 2.
    """
    if not (0.0 < lowest < highest < math.inf and n_steps >= 2):
        raise ConfigError(
            "find_lr needs 0 < lowest < highest and n_steps of at least 2",
            got=f"{lowest=}, {highest=}, {n_steps=}",
            fix="Leave them out to use the defaults.",
        )
    lrs: list[float] = []
    losses: list[float] = []
    growth = (highest / lowest) ** (1.0 / (n_steps - 1))

    def record(event: Event) -> str | None:
        if not isinstance(event, StepEvent):
            return None
        lrs.append(event.lr)
        losses.append(_smoothed(losses, event.loss))
        if losses[-1] > DIVERGED * min(losses):
            return "the loss diverges"
        return None

    rising = replace(
        setup,
        lrs=[lr / setup.lrs[0] * lowest for lr in setup.lrs],
        schedule=lambda step: growth**step,
        settings=replace(setup.settings, max_epochs=n_steps, max_steps=n_steps),
        notify=record,
    )
    try:
        train(rising, state)
    except NonFiniteError:  # rates are too high from here on
        if not losses:
            raise
    return LrRange(tuple(lrs), tuple(losses), _suggest(lrs, losses, n_steps))


def _suggest(lrs: Sequence[float], losses: Sequence[float], n_steps: int) -> float:
    """Return a tenth of the largest rate with a nearly minimal loss, if the loss fell clearly."""
    n_first = max(2, n_steps // 10)  # the losses of the first few batches are mostly noise
    start = losses[min(n_first, len(losses)) - 1]
    later = range(min(n_first, len(losses) - 1), len(losses))
    smallest = min(losses[i] for i in later)
    if smallest < CLEARLY * start:
        # The last rate near the minimum: if that is flat, the place of the smallest loss is noise.
        return lrs[max(i for i in later if losses[i] <= NEARLY * smallest)] / BELOW_EDGE
    warnings.warn(
        f"the loss did not fall clearly at any learning rate from {lrs[0]:.2g} to {lrs[-1]:.2g}; "
        f"suggesting the default of {DEFAULT_LR:g}",
        AfinaWarning,
        stacklevel=2,
    )
    return DEFAULT_LR


def _smoothed(before: list[float], loss: float) -> float:
    """Return the exponential average of the losses so far, without bias toward the first one."""
    n = len(before)
    weight = (1.0 - SMOOTHING) / (1.0 - SMOOTHING ** (n + 1))
    mean = loss if n == 0 else before[-1] + weight * (loss - before[-1])
    return mean if math.isfinite(mean) else math.inf
