"""The shipped module: preprocessing, network and target scale in one."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from afina.config import Config
from afina.models import TabularNet
from afina.preprocess import Preprocess
from afina.table import Schema
from afina.tabular.rows import Floats, Rows, even_weights
from afina.tabular.spec import NetworkSpec, choose_network, make
from afina.train.rng import make_generator


class TabularModel(nn.Module):
    """Take a table's arrays to class scores, or to values in the target's own units.

    Shape:
        x_num (n, n_num), x_cat (n, n_cat), x_time (n, n_time) -> (n, n_classes) or (n,)

    Args:
        preprocess: fitted on training rows.
        network: takes its numbers and the codes to outputs.
        n_classes: 0 for regression.
        mean: weighted mean of the training target; 0 for classes.
        scale: weighted standard deviation of the training target; 1 for classes.
    """

    target_mean: Tensor
    target_scale: Tensor

    def __init__(
        self,
        preprocess: Preprocess,
        network: TabularNet,
        *,
        n_classes: int,
        mean: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.network = network
        self.n_classes = n_classes
        self.register_buffer("target_mean", torch.tensor(mean, dtype=torch.float64))
        self.register_buffer("target_scale", torch.tensor(scale, dtype=torch.float64))

    def inputs(self, x_num: Tensor, x_cat: Tensor, x_time: Tensor) -> tuple[Tensor, Tensor]:
        """Preprocess: what the network is trained on."""
        numbers = self.preprocess(x_num, x_time)
        if numbers.shape[1] == 0 and x_cat.shape[1] == 0:
            numbers = numbers.new_zeros(len(x_num), 1)  # nothing to see: an intercept is left
        return numbers, x_cat

    def forward(self, x_num: Tensor, x_cat: Tensor, x_time: Tensor) -> Tensor:
        """Give class scores, or values in the target's units."""
        outputs: Tensor = self.network(*self.inputs(x_num, x_cat, x_time))
        if self.n_classes:
            return outputs
        return outputs[:, 0].double() * self.target_scale + self.target_mean


@dataclass(frozen=True)
class Built:
    """A model before training, and what it takes to build it again.

    Args:
        model: preprocessing is fitted, the network is initialized.
        spec: of the network.
    """

    model: TabularModel
    spec: NetworkSpec

    @property
    def n_parameters(self) -> int:
        """Trained numbers of the network."""
        return sum(p.numel() for p in self.model.network.parameters())


def build_model(train: Rows, schema: Schema, n_classes: int, config: Config) -> Built:
    """Fit preprocessing and target scale on the training rows, and build the network.

    Args:
        train: training rows, equal rows taken together.
        schema: of the training rows.
        n_classes: 0 for regression.
        config: sections preprocess, model and train.seed.
    """
    preprocess = Preprocess(config.preprocess.scaling, config.preprocess.impute)
    preprocess.fit(
        torch.from_numpy(train.x_num),
        torch.from_numpy(train.x_time),
        torch.from_numpy(train.weights),
        num_names=schema.num_names,
        time_names=schema.time_names,
    )
    spec = choose_network(
        schema,
        train.x_cat,
        n_num=preprocess.d_out,
        d_out=n_classes or 1,
        preprocess=config.preprocess,
        model=config.model,
    )
    network = make(
        spec,
        schema,
        make_generator(config.train.seed, "init", 0),
        init=config.model.init,
        init_constant=config.model.init_constant,
    )
    mean, scale = (
        (0.0, 1.0) if n_classes else target_scale(train.y.astype(np.float64), train.weights)
    )
    model = TabularModel(preprocess, network, n_classes=n_classes, mean=mean, scale=scale)
    return Built(model, spec)


def target_scale(y: Floats, weights: Floats) -> tuple[float, float]:
    """Give weighted mean and standard deviation (divided by the total weight) of a target.

    A constant target has scale 1. Squares of huge and tiny targets stay in range.

    Example:
        >>> target_scale(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
        (2.0, 1.0)
    """
    even = even_weights(weights)
    share = even / even.sum()
    unit = float(np.abs(y).max(initial=0.0)) or 1.0
    center = float((share * (y / unit)).sum())
    spread = float(np.sqrt((share * (y / unit - center) ** 2).sum()))
    scale = spread * unit
    # Below this, the differences are the rounding of one value written in several ways.
    constant = spread <= 4 * np.finfo(np.float64).eps * abs(center) or scale == 0.0
    return center * unit, 1.0 if constant else scale
