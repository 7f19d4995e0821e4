"""The shipped module: preprocessing, network and target scale in one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from afina.config import Config, ModelSettings, PreprocessSettings
from afina.declaration import resolved
from afina.models import Ensemble, Members, TabularNet, make_network
from afina.preprocess import Encoding, Preprocess, column_edges
from afina.table import MISSING, Observations, Schema
from afina.tabular.preparation.rows import Rows
from afina.tabular.training.model_shape import ModelShape
from afina.tabular.training.resolve import (
    choose_encodings,
    choose_n_bins,
    choose_n_values,
    most_common,
)
from afina.tabular.training.target_scale import TargetScale, fit_target_scale
from afina.train.rng import make_generator


class TabularModel(nn.Module):
    """Map a table's arrays to class scores, or to values in the target's own units.

    Shape:
        x_num (n, n_num), x_cat (n, n_cat), x_time (n, n_time), folds (n,) or None
        -> (n, n_classes) or (n,)

    Args:
        preprocess: fitted on training rows.
        network: maps preprocessed numbers and codes to outputs.
        n_classes: number of classes, 0 for regression.
        target: maps outputs to the target's units; unused for classes.
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
        """Number of members."""
        body = self.network.body
        return body.n_members if isinstance(body, (Members, Ensemble)) else 1

    def inputs(self, x_num: Tensor, x_cat: Tensor, x_time: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs of the network in training: numbers and codes."""
        numbers = self.preprocess(x_num, x_time)
        if numbers.shape[1] == 0 and x_cat.shape[1] == 0:
            numbers = numbers.new_zeros(len(x_num), 1)  # leaves an intercept
        return numbers, x_cat

    def forward(
        self, x_num: Tensor, x_cat: Tensor, x_time: Tensor, folds: Tensor | None = None
    ) -> Tensor:
        """Return class scores, or values in the target's units.

        Args:
            folds: fold of each training row; each row is then predicted by the members that held it
                out.
        """
        outputs: Tensor = self.network(*self.inputs(x_num, x_cat, x_time), folds)
        if self.n_classes:
            return outputs
        predictions: Tensor = self.target(outputs[:, 0])
        return predictions


@dataclass(frozen=True)
class FittedParts:
    """What is learned from the training rows before the network is built.

    Args:
        preprocess: the fitted preprocessing.
        edges: bin edges of each embedded numeric column, by its index.
        n_bins: largest number of bins for a numeric column.
        target: maps outputs to the target's units.
        encodings: encoding of each categorical column.
        has_missing: whether each categorical column has missing cells.
    """

    preprocess: Preprocess
    edges: Mapping[int, Tensor]
    n_bins: int
    target: TargetScale
    encodings: tuple[Encoding, ...]
    has_missing: tuple[bool, ...]


@dataclass(frozen=True)
class Built:
    """An untrained model, and its shape.

    Args:
        model: the model, with fitted preprocessing and an initialized network.
        shape: what the data determined.
    """

    model: TabularModel
    shape: ModelShape

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters of the network."""
        return sum(p.numel() for p in self.model.network.parameters())


def fit_preprocessing(
    train: Rows,
    schema: Schema,
    n_classes: int,
    config: Config,
    observations: Observations | None = None,
) -> FittedParts:
    """Fit preprocessing and target scale on the training rows.

    Args:
        train: training rows, identical rows merged.
        schema: schema of the training rows.
        n_classes: number of classes, 0 for regression.
        observations: see `DataFacts`.
    """
    settings = config.preprocess
    preprocess = Preprocess(settings.scaling, settings.impute).fit(
        torch.from_numpy(train.x_num),
        torch.from_numpy(train.x_time),
        torch.from_numpy(train.weights),
        num_names=schema.num_names,
        time_names=schema.time_names,
    )
    common = most_common(train.y) if n_classes else None
    n_bins = choose_n_bins(config.model.n_bins, len(train), common)
    target = TargetScale()
    if not n_classes:
        target = fit_target_scale(
            train.y.astype(np.float64),
            train.weights,
            settings.target_transform,
            clips=settings.clip_predictions,
        )
    return FittedParts(
        preprocess,
        _edges(preprocess, train, config.model, n_bins, observations),
        n_bins,
        target,
        choose_encodings(schema, settings),
        tuple((train.x_cat == MISSING).any(axis=0).tolist()),
    )


def build_model(fitted: FittedParts, schema: Schema, n_classes: int, config: Config) -> Built:
    """Build the model around the fitted parts.

    Args:
        schema: schema of the training rows.
        n_classes: number of classes, 0 for regression.
        config: all settings, resolved.
    """
    preprocess, edges = fitted.preprocess, fitted.edges
    piecewise = config.model.numeric_embedding == "piecewise"
    shape = ModelShape(
        n_num=preprocess.d_out,
        encodings=fitted.encodings,
        has_missing=fitted.has_missing,
        embedded=tuple(edges),
        n_bins=tuple(len(column) - 1 for column in edges.values()) if piecewise else (),
        d_out=n_classes or 1,
        folds=resolved(config.table.folds),
        num_names=tuple(preprocess.num_names),
        time_names=tuple(preprocess.time_names),
        n_indicators=len(preprocess.impute.marked),
        n_timed=len(preprocess.dates.timed),
        n_quantiles=preprocess.n_quantiles,
        n_target_knots=fitted.target.n_knots,
    )
    generator = make_generator(config.train.seed, "init", 0)
    network = make_table_network(shape, schema, config.model, config.preprocess, generator)
    if piecewise:
        network.set_edges_(list(edges.values()))
    model = TabularModel(preprocess, network, n_classes=n_classes, target=fitted.target)
    return Built(model, shape)


def make_table_network(
    shape: ModelShape,
    schema: Schema,
    model: ModelSettings,
    preprocess: PreprocessSettings,
    generator: torch.Generator,
) -> TabularNet:
    """Build the network; the schema has the levels of each categorical column."""
    levels = [len(column.vocabulary) for column in schema.cat_columns]
    return make_network(shape, levels, model=model, preprocess=preprocess, generator=generator)


@torch.no_grad()
def _edges(
    preprocess: Preprocess,
    train: Rows,
    model: ModelSettings,
    n_bins: int,
    observations: Observations | None,
) -> dict[int, Tensor]:
    """Find the bin edges of the network's numeric inputs, including those made from times."""
    n_scaled = len(preprocess.num_names) + len(preprocess.time_names)
    if model.numeric_embedding is None or n_scaled == 0:
        return {}
    numbers = preprocess(torch.from_numpy(train.x_num), torch.from_numpy(train.x_time))
    return column_edges(
        numbers,
        torch.from_numpy(train.weights),
        n_bins,
        columns=range(n_scaled),
        n_values=choose_n_values(n_bins, observations) if model.n_bins == "auto" else 0,
    )
