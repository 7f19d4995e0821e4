"""Batch normalization over all rows of a step, regardless of the micro-batch size."""

__all__: list[str] = []
