"""The fitted model: prediction, and the folder it is saved to and loaded from."""

__all__: list[str] = []
