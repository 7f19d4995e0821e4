"""The old address of `CheckpointPlan`, for existing scripts; it moved to `run.checkpoint_plan`."""

from afina.train.run.checkpoint_plan import CheckpointPlan

__all__ = ["CheckpointPlan"]
