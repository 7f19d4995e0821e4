"""A model's outputs as probabilities or numbers, in float64."""

import numpy as np

from afina.tabular.preparation.rows import Floats


def as_answers(outputs: Floats, n_classes: int) -> Floats:
    """Turn class scores into probabilities; leave numbers as they are.

    Shape:
        (n, n_classes) -> (n, n_classes), or (n,) -> (n,)

    Example:
        >>> as_answers(np.array([[0.0, 0.0]]), 2).tolist()
        [[0.5, 0.5]]
    """
    if not n_classes:
        return outputs
    shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    answers: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return answers
