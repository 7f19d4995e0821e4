"""Early stopping: the best value so far, how long ago it was, and when to wait longer."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from afina.train.grokking import GrokkingSigns
from afina.train.settings import StopSettings

FLOOR = 0.1
"""A loss is far below another if it is at most this fraction of it."""

LEAST_FALL = 1e-3
"""Fraction by which the scale must fall over one patience to count as falling."""

STILL_FITTING = 0.5
"""Fraction by which the training loss falls over one patience while a network is still fitting."""

_STATE = ("best", "best_step", "best_epoch", "reference", "n_seen", "n_without")


@dataclass
class Extension:
    """Patience that is extended while late generalization (grokking) is possible.

    Once plain patience has run out, training continues as long as all of these hold:

    - weight decay is on;
    - the training loss is at its floor: the lowest of the last `patience` + 1 evaluations is at
      most `FLOOR` of the lowest validation loss so far;
    - validation has not improved yet: its lowest loss is above `FLOOR` of what it was when plain
      patience first ran out;
    - the scale of the weights (or outputs) falls by more than the fraction `LEAST_FALL` over these
      evaluations, measured on a straight line fitted to its logarithms, so that a single outlier
      does not decide. This is not required while the training loss falls by more than the fraction
      `STILL_FITTING`, because the scale grows while a network still fits its rows better;
    - the budget is not spent.

    This shows that the network still changes, not that it will generalize. Losses must be
    at least 0; patience is never extended if they are negative or their floor is far above 0.

    Args:
        patience: number of evaluations that plain patience waits, and over which the scale is
            measured.
        budget: patience is extended to at most this many times the steps at which plain
            patience first ran out.
        train_losses: training losses at the last `patience` + 1 evaluations.
        scales: scales at the same evaluations.
        lowest_val_loss: lowest validation loss over all evaluations.
        first_step: steps taken when plain patience first ran out.
        first_val_loss: the lowest validation loss at that time.
        n_extended: number of evaluations waited for beyond plain patience.
        refusal: why patience is not extended now. None: it is extended, or it has not run out.
        extending: whether training continues only because patience is extended.
    """

    patience: int
    budget: float
    train_losses: list[float] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    lowest_val_loss: float | None = None
    first_step: int | None = None
    first_val_loss: float | None = None
    n_extended: int = 0
    refusal: str | None = None
    extending: bool = False

    def update(self, signs: GrokkingSigns, *, step: int, exhausted: bool) -> None:
        """Record one evaluation, and whether plain patience has run out."""
        self.train_losses = [*self.train_losses, signs.train_loss][-self.patience - 1 :]
        self.scales = [*self.scales, signs.scale][-self.patience - 1 :]
        if self.lowest_val_loss is None or signs.val_loss < self.lowest_val_loss:
            self.lowest_val_loss = None if math.isnan(signs.val_loss) else signs.val_loss
        self.refusal, self.extending = None, False
        if not exhausted:
            return
        if self.first_step is None:
            self.first_step, self.first_val_loss = step, self.lowest_val_loss
        self.refusal = self._refuse(signs, step)
        self.extending = self.refusal is None
        self.n_extended += self.extending

    def _refuse(self, signs: GrokkingSigns, step: int) -> str | None:
        """Return the first condition that does not hold, or None if all hold."""
        if not signs.decays:
            return "weight decay is off"
        train, val, first = min(self.train_losses), self.lowest_val_loss, self.first_val_loss
        if val is not None and first is not None and val <= FLOOR * first:
            return f"validation has improved too: its loss fell from {first:.3g} to {val:.3g}"
        if val is None or not 0 <= train <= FLOOR * val:
            shown = "unknown" if val is None else f"{val:.3g}"
            return (
                f"the training loss, {train:.3g}, is not at its floor: at most {FLOOR:g} of the "
                f"lowest validation loss, {shown}"
            )
        fall = relative_fall(self.scales)
        if not (fall > LEAST_FALL or relative_fall(self.train_losses) > STILL_FITTING):
            return (
                f"{signs.scale_of} changed by {-fall:+.2%} over the last {len(self.scales) - 1} "
                f"evaluations, and must fall by more than {LEAST_FALL:.1%}"
            )
        if step >= self.budget * (self.first_step or step):
            return (
                f"the budget is spent: {self.budget:g} times the {self.first_step} steps at "
                "which patience first ran out"
            )
        return None


@dataclass
class Stopping:
    """Follow one metric over the evaluations of a run.

    The best value is the best seen so far, by any margin; patience counts evaluations since
    the last improvement by more than `min_delta`. NaN is never an improvement.

    Args:
        settings: direction of the metric, patience, and how it is extended.
        best: best value so far, with the step and the epoch of its evaluation.
        reference: the value that the next improvement is measured against.
        n_seen: number of evaluations so far.
        n_without: number of evaluations since the last improvement.
        extension: the extension of patience. None: patience is never extended.
    """

    settings: StopSettings
    best: float | None = None
    best_step: int | None = None
    best_epoch: int | None = None
    reference: float | None = None
    n_seen: int = 0
    n_without: int = 0
    extension: Extension | None = None

    def __post_init__(self) -> None:
        settings = self.settings
        if settings.patience_extends_while is not None and settings.patience is not None:
            self.extension = Extension(settings.patience, settings.patience_budget)

    def update(
        self, value: float, *, step: int, epoch: int, signs: GrokkingSigns | None = None
    ) -> bool:
        """Record one evaluation; return whether it is the best so far.

        Args:
            signs: signs of late generalization at this evaluation, for the extension.
        """
        self.n_seen += 1
        self.n_without += 1
        best = False
        if not math.isnan(value):
            least = self.settings.min_delta
            if self.reference is None or self._gain(value, self.reference) > least:
                self.reference, self.n_without = value, 0
            best = self.best is None or self._gain(value, self.best) > 0
        if best:
            self.best, self.best_step, self.best_epoch = value, step, epoch
        if self.extension is not None and signs is not None:
            self.extension.update(signs, step=step, exhausted=self._is_spent())
        return best

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out and is not extended."""
        return self._is_spent() and not self.extending

    @property
    def extending(self) -> bool:
        """Whether training continues only because patience is extended."""
        return self.extension is not None and self.extension.extending

    def why(self, monitor: str) -> str:
        """Return a sentence on why patience has run out, or why it is extended."""
        plain = f"{monitor} has not improved for {self.n_without} evaluations"
        extension = self.extension
        if extension is None:
            return plain
        if extension.extending:
            return f"{plain}; patience is extended while late generalization is possible"
        if extension.n_extended == 0:
            return f"{plain}; patience was not extended: {extension.refusal}"
        return (
            f"{plain}; patience was extended by {extension.n_extended} evaluations, and no "
            f"further: {extension.refusal}"
        )

    def _is_spent(self) -> bool:
        settings = self.settings
        if settings.patience is None:
            return False
        n_until = self.n_seen - self.n_without
        return self.n_without >= max(settings.patience, settings.patience_share * n_until)

    def _gain(self, value: float, other: float) -> float:
        return value - other if self.settings.higher_is_better else other - value

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the settings, ready for JSON."""
        extension = None if self.extension is None else asdict(self.extension)
        return {**{name: getattr(self, name) for name in _STATE}, "extension": extension}

    def restore(self, d: Mapping[str, Any]) -> None:
        """Restore what `to_dict` returned."""
        for name in _STATE:
            setattr(self, name, d[name])
        extension = d["extension"]
        self.extension = None if extension is None else Extension(**extension)


def relative_fall(scales: list[float]) -> float:
    """Return the fraction by which a positive scale fell from the first value to the last.

    Measured on the least-squares line through the logarithms. NaN for fewer than two values, or
    where one is not a positive number.

    Example:
        >>> round(relative_fall([4.0, 2.0, 1.0]), 4)
        0.75
    """
    if len(scales) < 2 or not all(0 < scale < math.inf for scale in scales):
        return math.nan
    line = statistics.linear_regression(range(len(scales)), [math.log(s) for s in scales])
    rise = line.slope * (len(scales) - 1)
    return -math.expm1(min(rise, 700.0))  # e to the 710th is beyond float64
