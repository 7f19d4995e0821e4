"""`CheckpointPlan` under the address that scripts import it from: it moved to `run.checkpoint_plan`."""

from afina.train.run.checkpoint_plan import CheckpointPlan

__all__ = ["CheckpointPlan"]
