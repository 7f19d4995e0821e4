"""Early stopping: what is best so far, how long ago that was, and what makes waiting worth it."""

import math
import statistics
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from afina.errors import ConfigError
from afina.train.grokking import GrokkingSigns

ExtendsWhile: TypeAlias = Literal["grokking"]

FLOOR = 0.1
"""A loss is far below another if it is at most this fraction of it."""

LEAST_FALL = 1e-3
"""By how much of itself the scale must fall over one patience to count as falling."""

STILL_FITTING = 0.5
"""By how much of itself the training loss falls over one patience while a net is still fitting."""


@dataclass
class Extension:
    """Patience that is extended while late generalization (grokking) is possible.

    Once plain patience has run out, training goes on as long as all of these hold:

    - weight decay is on;
    - the training loss is at its floor: the lowest of the last `patience` + 1 evaluations is at
      most `FLOOR` of the lowest validation loss there ever was, so also far below validation's;
    - validation has not followed yet: its lowest loss is above `FLOOR` of what it was when plain
      patience first ran out;
    - the scale of the weights (or outputs) falls by more than `LEAST_FALL` of itself over these
      evaluations, by the straight line through its logarithms: one outlier decides nothing. It
      grows for as long as a net fits its rows ever better, and is asked for nothing while the
      training loss falls in this way by more than `STILL_FITTING` of itself;
    - the budget is not spent.

    It says that something still changes, not that generalization will come. Losses must be
    at least 0; with others, as with a loss whose floor is far above 0, it never extends.

    Args:
        patience: evaluations that plain patience waits, and that the scale is followed over.
        budget: patience is extended to at most this many times the steps at which plain
            patience first ran out.
        train_losses: of the last `patience` + 1 evaluations.
        scales: of the same evaluations.
        lowest_val_loss: over all evaluations.
        first_step: steps taken when plain patience first ran out.
        first_val_loss: the lowest validation loss at that time.
        n_extended: evaluations that were waited for besides plain patience.
        refusal: why training is not extended now; none: it is, or plain patience has not run out.
        extending: whether training goes on only because of this.
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
        """Take in one evaluation, and whether plain patience has run out at it."""
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
        """Name the first condition that does not hold; none: all hold."""
        if not signs.decays:
            return "weight decay is off"
        train, val, first = min(self.train_losses), self.lowest_val_loss, self.first_val_loss
        if val is not None and first is not None and val <= FLOOR * first:
            return f"validation has followed: its loss fell from {first:.3g} to {val:.3g}"
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
                f"evaluations, and must fall by more than {LEAST_FALL:g} of itself"
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

    The best value is the best ever seen, by whatever margin; patience counts evaluations since
    the last improvement by more than `min_delta`. NaN is never an improvement.

    Args:
        higher_is_better: direction of the metric.
        patience: evaluations without improvement before `exhausted`; none: never.
        patience_share: patience is at least this share of the evaluations that it took to the
            last improvement, at least 0.
        min_delta: margin that counts as an improvement, in units of the metric, at least 0.
        extension: what may extend patience; none: nothing.
    """

    higher_is_better: bool = False
    patience: int | None = None
    min_delta: float = 0.0
    best: float | None = None
    best_step: int | None = None
    best_epoch: int | None = None
    reference: float | None = None
    n_seen: int = 0
    n_without: int = 0
    patience_share: float = 0.0
    extension: Extension | None = None

    def update(
        self, value: float, *, step: int, epoch: int, signs: GrokkingSigns | None = None
    ) -> bool:
        """Take in one evaluation; say whether it is the best so far.

        Args:
            signs: what this evaluation says about late generalization, for the extension.
        """
        self.n_seen += 1
        self.n_without += 1
        best = False
        if not math.isnan(value):
            if self.reference is None or self._gain(value, self.reference) > self.min_delta:
                self.reference, self.n_without = value, 0
            best = self.best is None or self._gain(value, self.best) > 0
        if best:
            self.best, self.best_step, self.best_epoch = value, step, epoch
        if self.extension is not None and signs is not None:
            self.extension.update(signs, step=step, exhausted=self._is_spent())
        return best

    @property
    def exhausted(self) -> bool:
        """Tell if patience has run out, and nothing extends it."""
        return self._is_spent() and not self.extending

    @property
    def extending(self) -> bool:
        """Tell if training goes on only because patience is extended."""
        return self.extension is not None and self.extension.extending

    def why(self, monitor: str) -> str:
        """Say in a sentence why patience has run out, or why it is extended."""
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
        if self.patience is None:
            return False
        n_until = self.n_seen - self.n_without
        return self.n_without >= max(self.patience, self.patience_share * n_until)

    def _gain(self, value: float, other: float) -> float:
        return value - other if self.higher_is_better else other - value

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> "Stopping":
        """Undo `to_dict`, also that of a version without an extension."""
        extension = d.get("extension")
        return cls(**d | {"extension": None if extension is None else Extension(**extension)})


def make_extension(
    extends_while: ExtendsWhile | None, *, patience: int | None, budget: float
) -> Extension | None:
    """Make what extends patience by the trainer's settings; none where nothing is asked.

    Raises:
        ConfigError: unknown, without patience, or a budget of less than 1.
    """
    if extends_while is None:
        return None
    if extends_while != "grokking":
        raise ConfigError(
            f"patience_extends_while must be 'grokking' or None, however: {extends_while!r}."
        )
    if patience is None:
        raise ConfigError(
            "patience_extends_while needs a patience to extend, however: patience=None. Pass "
            "the number of evaluations without improvement to wait for."
        )
    if not budget >= 1:
        raise ConfigError(
            f"patience_budget must be at least 1, however: patience_budget={budget}. It counts in "
            "multiples of the steps at which patience first ran out; 50 is the default."
        )
    return Extension(patience, budget)


def relative_fall(scales: list[float]) -> float:
    """Compute by what fraction of itself a positive scale fell from the first value to the last.

    It is the fall of the straight line of least squares through the logarithms; NaN for fewer
    than two values, or where one is not a positive number.

    Example:
        >>> round(relative_fall([4.0, 2.0, 1.0]), 4)
        0.75
    """
    if len(scales) < 2 or not all(0 < scale < math.inf for scale in scales):
        return math.nan
    line = statistics.linear_regression(range(len(scales)), [math.log(s) for s in scales])
    rise = line.slope * (len(scales) - 1)
    return -math.expm1(min(rise, 700.0))  # e to the 710th is beyond float64
