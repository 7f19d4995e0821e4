"""Batch normalization over all rows of a step, whatever the size of its micro-batches."""

__all__: list[str] = []
