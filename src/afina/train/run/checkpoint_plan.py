"""Settings of checkpoints."""

from afina.declaration import Count, CountFromZero, NonNegative, settings_class


@settings_class
class CheckpointPlan:
    """When checkpoints are written, and which are kept. One is always written at the end."""

    every_steps: Count | None = None
    """Write a checkpoint after this many steps."""

    every_epochs: Count | None = None
    """Write a checkpoint after this many epochs."""

    every_minutes: NonNegative | None = 0.5
    """Write a checkpoint when the last one is this many minutes old."""

    keep_last: Count = 2
    """Number of newest checkpoints to keep."""

    keep_best: CountFromZero = 0
    """Number of best checkpoints, by the monitored metric, to keep as well; one is then written at
    each evaluation that is among the best so far."""
