"""The copy of a model that makes predictions, and how many rows it predicts at once."""

import copy

import numpy as np
import torch
from torch import nn

from afina.nn import StackedLinear
from afina.tabular.training.tabular_model import TabularModel

_NUMBERS_A_BATCH = 1 << 18  # a batch's hidden layer then fits in the processor's cache
_MOST_ROWS = 4096


@torch.no_grad()
def exact_copy(model: TabularModel) -> TabularModel:
    """Copy a model for prediction.

    Weights are float32, but computing in float64 makes a row's predictions in different batches
    agree to within 1e-12.
    """
    exact = copy.deepcopy(model).double().eval()
    for layer in exact.modules():
        if isinstance(layer, StackedLinear):
            # The layout for rows that all networks share; without it, each product copies the
            # weight.
            layer.weight.data = layer.weight.transpose(0, 1).contiguous().transpose(0, 1)
    return exact


def choose_rows_a_batch(model: TabularModel) -> int:
    """Return the number of rows to predict at once, given the width of the widest layer."""
    widths = [1]
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            widths.append(max(layer.in_features, layer.out_features) * model.n_members)
        elif isinstance(layer, StackedLinear):
            widths.append(max(layer.weight.shape[1], layer.weight.shape[0] * layer.weight.shape[2]))
    return int(np.clip(_NUMBERS_A_BATCH // max(widths), 16, _MOST_ROWS))
