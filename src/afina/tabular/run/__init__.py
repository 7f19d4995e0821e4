"""Fit from a table file into a run folder, and resume the run."""

__all__: list[str] = []
