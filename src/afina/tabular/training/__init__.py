"""From prepared rows to a trained network: resolve `auto`, build the model, run the trainer."""

__all__: list[str] = []
