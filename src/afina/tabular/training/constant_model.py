"""A network that has learned nothing but a baseline: its outputs are the same for every row."""

import numpy as np
import torch
from torch import nn

from afina.tabular.preparation.rows import Floats
from afina.tabular.scoring import Baseline
from afina.tabular.training.tabular_model import TabularModel

_LEAST_SHARE = 1e-15


@torch.no_grad()
def make_constant_(model: TabularModel, baseline: Baseline) -> None:
    """Make a model predict the baseline for every row, in place; its layers keep their shapes."""
    body = model.network.body
    for parameter in body.parameters():
        parameter.zero_()
    last = body.output if hasattr(body, "output") else body.heads
    if not isinstance(last, nn.Module):
        raise TypeError(f"The last layer of {type(body).__name__} must be a module.")
    bias = last.get_parameter("bias")
    bias.copy_(torch.from_numpy(_outputs(model, baseline)).to(bias.dtype).expand_as(bias))


def _outputs(model: TabularModel, baseline: Baseline) -> Floats:
    if baseline.mean is None:
        return np.log(np.maximum(baseline.shares, _LEAST_SHARE))
    mean = torch.tensor([baseline.mean], dtype=torch.float64)
    return np.asarray(model.target.standardize(mean).numpy())
