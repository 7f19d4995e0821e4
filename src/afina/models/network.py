"""The network for tables: an input layer and a body, built and initialized from the settings."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from afina.declaration import resolved
from afina.models.ensemble import Ensemble
from afina.models.input import CatEncoding, InputLayer
from afina.models.members import make_members
from afina.models.mlp import MLP
from afina.models.numbers import embedded_numbers
from afina.models.settings import ModelSettings
from afina.models.shape import NetworkShape
from afina.nn import initialize_
from afina.preprocess.settings import PreprocessSettings
from afina.process_state import new_layers

_N_SAMPLE_ROWS = 256


class TabularNet(nn.Module):
    """Map numbers and category codes to outputs.

    Shape:
        x_num (n, n_num) float, x_cat (n, n_cat) int64, folds (n,) int64 or None -> (n, d_out);
        while training, a body of several members returns separate outputs for each of them

    Args:
        input: maps numbers and codes to one row of floats.
        body: maps that row to the outputs; only an `Ensemble` uses folds.

    Example:
        >>> settings = ModelSettings(n_blocks=1, d_block=8, dropout=0.0)
        >>> net = TabularNet(InputLayer(2), MLP(2, 1, settings))
        >>> net(torch.zeros(5, 2), torch.zeros(5, 0, dtype=torch.int64)).shape
        torch.Size([5, 1])
    """

    def __init__(self, input: nn.Module, body: nn.Module) -> None:  # noqa: A002 - the layer's name
        super().__init__()
        self.input = input
        self.body = body

    def set_edges_(self, edges: Sequence[Tensor]) -> None:
        """Set the bin edges of the embedded numbers; see `PiecewiseLinear`."""
        if not isinstance(self.input, InputLayer) or self.input.numbers is None:
            raise TypeError("Edges need embedded numbers, but there are none.")
        self.input.numbers.set_edges_(edges)

    def forward(self, x_num: Tensor, x_cat: Tensor, folds: Tensor | None = None) -> Tensor:
        row = self.input(x_num, x_cat)
        out: Tensor = self.body(row) if folds is None else self.body(row, folds)
        return out


def make_network(
    shape: NetworkShape,
    n_levels: Sequence[int] = (),
    *,
    model: ModelSettings,
    preprocess: PreprocessSettings,
    generator: torch.Generator,
) -> TabularNet:
    """Build and initialize the network for a table.

    All weights are determined by the arguments and the generator; torch's global random state does
    not change.

    Args:
        shape: the sizes that the data determines.
        n_levels: number of levels of each categorical column.
        model: settings of the network, resolved.
        preprocess: settings of preprocessing: how to embed categories, and whether to normalize raw
            numbers.
        generator: source of the weights, on the CPU.

    Example:
        >>> settings = ModelSettings(members=1, dropout=0.0)
        >>> net = make_network(NetworkShape(n_num=3), model=settings,
        ...                    preprocess=PreprocessSettings(), generator=torch.Generator())
        >>> sum(p.numel() for p in net.parameters())
        4481
    """
    if shape.n_num == 0 and not shape.encodings:  # a column of zeros leaves only the intercept
        shape, preprocess = replace(shape, n_num=1), replace(preprocess, scaling=None)
    encodings = list(zip(shape.encodings, n_levels, shape.has_missing, strict=True))
    own = model.members > 1 and model.members_differ == "weights"
    with new_layers():
        head = InputLayer(
            shape.n_num,
            encodings,
            embedding_dim=preprocess.embedding_dim,
            unknown_rate=preprocess.unknown_rate if encodings else 0.0,
            normalize=preprocess.scaling == "batchnorm",
            embedded=embedded_numbers(shape, model),
            scales=model.feature_scale,
            members=model.members if own else 1,
        )
        net = TabularNet(head, _make_body(head, shape, model))
    initialize_(
        net,
        model.init,
        constant=model.init_constant,
        generator=generator,
        sample=_sample_rows(shape.n_num, encodings, generator),
    )
    return net


def _make_body(head: InputLayer, shape: NetworkShape, model: ModelSettings) -> nn.Module:
    if shape.folds > 1 and (model.members == 1 or model.members_differ != "weights"):
        raise ValueError(f"Folds need members that share no weights; got folds={shape.folds}.")
    if model.members == 1:
        return MLP(head.d_out, shape.d_out, model)
    if model.members_differ != "weights":
        return make_members(head.d_out, shape.d_out, model, chunks=head.chunks)
    if model.norm is not None or model.residual or model.parametric_activation:
        raise ValueError(
            f"Members that share no weights must have plain blocks; got norm={model.norm}, "
            f"residual={model.residual}, parametric_activation={model.parametric_activation}."
        )
    return Ensemble(
        head.d_out,
        shape.d_out,
        widths=[model.d_block] * model.n_blocks,
        k=model.members,
        d_own=head.d_own,
        n_folds=shape.folds,
        activation=model.activation,
        dropout=resolved(model.dropout),
        linear_skip=model.linear_skip,
        probabilities=shape.d_out > 1,
    )


def _sample_rows(
    n_num: int, cat_encodings: Sequence[CatEncoding], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw rows like those of a scaled table: unit-normal numbers, levels with equal chances."""
    x_num = torch.empty(_N_SAMPLE_ROWS, n_num, dtype=torch.float32).normal_(generator=generator)
    chance = torch.rand(
        _N_SAMPLE_ROWS, len(cat_encodings), generator=generator, dtype=torch.float32
    )
    n_levels = torch.tensor([n for _, n, _ in cat_encodings], dtype=torch.int64)
    return x_num, 2 + (chance * n_levels).long()
