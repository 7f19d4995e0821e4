"""Turn a network's outputs into predictions in float64: probabilities or numbers."""

import numpy as np

from afina.tabular.preparation.rows import Floats


def to_predictions(outputs: Floats, n_classes: int) -> Floats:
    """Turn class scores into probabilities; return numbers unchanged.

    Shape:
        (n, n_classes) -> (n, n_classes), or (n,) -> (n,)

    Example:
        >>> to_predictions(np.array([[0.0, 0.0]]), 2).tolist()
        [[0.5, 0.5]]
    """
    if not n_classes:
        return outputs
    shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    probabilities: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities
