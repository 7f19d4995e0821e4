"""All settings of a fit, composed of the classes that the packages declare.

Every setting's name is unique across all sections, so that the estimators can take the settings as
plain keyword arguments.
"""

from typing import Annotated, Literal

from pydantic import Field

from afina.declaration import Count, Rate, Setting, settings_class
from afina.models.settings import ModelSettings
from afina.optim.settings import AveragingSettings, OptimSettings
from afina.preprocess.settings import PreprocessSettings
from afina.table.settings import MOST_FOLDS, TableSettings
from afina.train.run.checkpoint_plan import CheckpointPlan
from afina.train.settings import ExecutionSettings, LoopSettings, StopSettings

_USUAL_FOLDS = 6


@settings_class
class TrainSettings(AveragingSettings, OptimSettings, ExecutionSettings, LoopSettings):
    """Settings of the loop, including those that apply to tables only."""

    label_smoothing: Annotated[Rate | Literal["auto"], Setting(scope="table")] = "auto"
    """Share of the target probability spread evenly over all classes. `auto`: 0, unless
    identical rows are repeated observations. Then it has the effect of two more rows of each class,
    and of one row for every two combinations of features after the first (at most 32), so that a
    few rows of one class do not make a prediction certain."""

    threads: Annotated[Count | Literal["auto"], Setting(scope="table")] = "auto"
    """Processor threads of torch. `auto`: 1, or up to 4 for large steps of large networks."""


@settings_class
class Config:
    """All settings of a fit."""

    table: TableSettings = Field(default_factory=TableSettings)
    preprocess: PreprocessSettings = Field(default_factory=PreprocessSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    stop: StopSettings = Field(default_factory=StopSettings)
    checkpoint: CheckpointPlan = Field(default_factory=CheckpointPlan)

    @property
    def n_folds(self) -> int:
        """Number of folds, unless there is a table of validation rows. 1: no folds."""
        own = self.model.members > 1 and self.model.members_differ == "weights"
        holds_out = self.table.val_frac is not None or self.table.time is not None
        if not own or holds_out:
            return 1
        folds = self.table.folds
        return choose_folds(self.model.members) if isinstance(folds, str) else folds


def choose_folds(members: int) -> int:
    """Return the number of folds: the divisor of `members` nearest to six, or 1.

    Example:
        >>> [choose_folds(n) for n in (2, 4, 6, 7, 9, 16, 32, 67)]
        [2, 4, 6, 7, 9, 8, 8, 1]
    """
    divisors = [n for n in range(2, min(members, MOST_FOLDS) + 1) if members % n == 0]
    return min(divisors, key=lambda n: (abs(n - _USUAL_FOLDS), -n), default=1)
