"""The shipped module: preprocessing, network and target scale in one."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from afina.config import Config, ModelConfig
from afina.models import Ensemble, Members, TabularNet
from afina.preprocess import Preprocess, column_edges
from afina.table import Schema
from afina.tabular.preparation.rows import Rows
from afina.tabular.training.network_spec import NetworkSpec, choose_network, make
from afina.tabular.training.target_scale import TargetScale, fit_target_scale
from afina.train.rng import make_generator

_ROWS_A_BIN, _LEAST_BINS, _MOST_BINS = 64, 2, 128
_OTHERS = 4  # rows that each row of another than the most common class stands for
_MANY_BINS = 64  # from here on, up to twice as many values are codes rather than quantities


class TabularModel(nn.Module):
    """Take a table's arrays to class scores, or to values in the target's own units.

    Shape:
        x_num (n, n_num), x_cat (n, n_cat), x_time (n, n_time), folds (n,) or None
        -> (n, n_classes) or (n,)

    Args:
        preprocess: fitted on training rows.
        network: takes its numbers and the codes to outputs.
        n_classes: 0 for regression.
        target: takes outputs to the target's units; does nothing to classes.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        network: TabularNet,
        *,
        n_classes: int,
        target: TargetScale | None = None,
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.network = network
        self.n_classes = n_classes
        self.target = TargetScale() if target is None else target

    @property
    def n_members(self) -> int:
        """How many networks it is in one."""
        body = self.network.body
        return body.n_members if isinstance(body, (Members, Ensemble)) else 1

    def inputs(self, x_num: Tensor, x_cat: Tensor, x_time: Tensor) -> tuple[Tensor, Tensor]:
        """Preprocess: what the network is trained on."""
        numbers = self.preprocess(x_num, x_time)
        if numbers.shape[1] == 0 and x_cat.shape[1] == 0:
            numbers = numbers.new_zeros(len(x_num), 1)  # nothing to see: an intercept is left
        return numbers, x_cat

    def forward(
        self, x_num: Tensor, x_cat: Tensor, x_time: Tensor, folds: Tensor | None = None
    ) -> Tensor:
        """Return class scores, or values in the target's units.

        Args:
            folds: of training rows, to be answered by the members that left them out.
        """
        outputs: Tensor = self.network(*self.inputs(x_num, x_cat, x_time), folds)
        if self.n_classes:
            return outputs
        answers: Tensor = self.target(outputs[:, 0])
        return answers


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
    edges = _edges(preprocess, train, n_classes, config.model)
    target = TargetScale() if n_classes else _fit_target(train, config)
    spec = choose_network(
        schema,
        train.x_cat,
        n_num=preprocess.d_out,
        d_out=n_classes or 1,
        preprocess=config.preprocess,
        model=config.model,
        edges=edges,
        target=target,
        n_folds=1 if train.folds is None else config.n_folds,
    )
    network = make(
        spec,
        schema,
        make_generator(config.train.seed, "init", 0),
        init=config.model.init,
        init_constant=config.model.init_constant,
    )
    if spec.n_bins:
        network.set_edges_(list(edges.values()))
    return Built(TabularModel(preprocess, network, n_classes=n_classes, target=target), spec)


@torch.no_grad()
def _edges(
    preprocess: Preprocess, train: Rows, n_classes: int, model: ModelConfig
) -> dict[int, Tensor]:
    """Find the edges of the numbers' bins, of numbers and times as the network gets them."""
    n_scaled = len(preprocess.num_names) + len(preprocess.time_names)
    if model.numeric_embedding == "none" or n_scaled == 0:
        return {}
    numbers = preprocess(torch.from_numpy(train.x_num), torch.from_numpy(train.x_time))
    auto = isinstance(model.n_bins, str)
    n_bins = model.n_bins
    if isinstance(n_bins, str):
        n_bins = choose_n_bins(len(train), _most_common(train.y) if n_classes else None)
    return column_edges(
        numbers,
        torch.from_numpy(train.weights),
        n_bins,
        columns=range(n_scaled),
        n_values=2 * n_bins if auto and n_bins >= _MANY_BINS else 0,
    )


def choose_n_bins(n_rows: int, n_most_common: int | None = None) -> int:
    """Choose the most bins of a number by distinct training rows: a curve needs rows to be learned.

    Args:
        n_most_common: rows of the most common class; beyond three for each other row they tell
            little more.

    Example:
        >>> [choose_n_bins(n) for n in (50, 640, 10**6)]
        [2, 10, 128]
        >>> choose_n_bins(6400, 3200), choose_n_bins(6400, 6000)
        (100, 25)
    """
    if n_most_common is not None:
        n_rows = min(n_rows, _OTHERS * (n_rows - n_most_common))
    return max(_LEAST_BINS, min(_MOST_BINS, n_rows // _ROWS_A_BIN))


def _most_common(y: NDArray[np.int64] | NDArray[np.float64]) -> int:
    return int(np.bincount(y.astype(np.int64)).max())


def _fit_target(train: Rows, config: Config) -> TargetScale:
    return fit_target_scale(
        train.y.astype(np.float64),
        train.weights,
        config.preprocess.target_transform,
        clips=config.preprocess.clip_predictions,
    )
