"""`AfinaClassifier` and `AfinaRegressor`."""

__all__: list[str] = []
