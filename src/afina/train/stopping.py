"""Early stopping: what is best so far, and how long ago that was."""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Stopping:
    """Follow one metric over the evaluations of a run.

    The best value is the best ever seen, by whatever margin; patience counts evaluations since
    the last improvement by more than `min_delta`. NaN is never an improvement.

    Args:
        higher_is_better: direction of the metric.
        patience: evaluations without improvement before `exhausted`; none: never.
        min_delta: margin that counts as an improvement, in units of the metric, at least 0.
    """

    higher_is_better: bool = False
    patience: int | None = None
    min_delta: float = 0.0
    best: float | None = None
    best_step: int | None = None
    best_epoch: int | None = None
    reference: float | None = None
    n_without: int = 0

    def update(self, value: float, *, step: int, epoch: int) -> bool:
        """Take in one evaluation; say whether it is the best so far."""
        self.n_without += 1
        if math.isnan(value):
            return False
        if self.reference is None or self._gain(value, self.reference) > self.min_delta:
            self.reference, self.n_without = value, 0
        if self.best is not None and self._gain(value, self.best) <= 0:
            return False
        self.best, self.best_step, self.best_epoch = value, step, epoch
        return True

    @property
    def exhausted(self) -> bool:
        """Tell if patience has run out."""
        return self.patience is not None and self.n_without >= self.patience

    def _gain(self, value: float, other: float) -> float:
        return value - other if self.higher_is_better else other - value

    def to_dict(self) -> dict[str, Any]:
        """Give all fields, ready for JSON."""
        return asdict(self)
