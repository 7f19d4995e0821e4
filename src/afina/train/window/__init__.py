"""Batch normalization over all rows of a step, however small its micro-batches."""

__all__: list[str] = []
