"""Fitting from a file into a run folder, and resuming it."""

__all__: list[str] = []
