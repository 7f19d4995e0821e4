"""From prepared rows to a trained network: what `auto` means, the model, the trainer."""

__all__: list[str] = []
