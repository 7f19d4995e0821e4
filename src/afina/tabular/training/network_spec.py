"""What a network is built from, as it stands in model.json."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from torch import Tensor

from afina.config import ModelConfig, PreprocessConfig
from afina.config.sections import Encoding, Positive, Rate
from afina.errors import CheckpointError, SchemaError
from afina.models import CatEncoding, EmbeddedNumbers, MemberPlan, TabularNet, make_network
from afina.nn import embedding_width
from afina.preprocess import MOST_KNOTS
from afina.table import MISSING, Schema, did_you_mean
from afina.tabular.preparation.rows import Integers
from afina.tabular.training.target_scale import TargetScale

_Width = Annotated[int, Field(ge=0, le=10_000_000)]
_Count = Annotated[int, Field(ge=1, le=10_000_000)]
_LARGEST_TABLE = 1_000_000  # of folds and members, which is not among the tensors

STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetworkSpec:
    """Plain arguments of a network; the levels of categories come from the schema.

    Args:
        n_num: columns of numbers that preprocessing gives; 0 with no categories: an intercept.
        encodings: how each categorical column is encoded.
        has_missing: whether each had missing cells among the training rows.
        d_out: classes, or 1 for regression.
        embedded: places of the numbers that are embedded.
        n_bins: bins of each of them, with `numeric_embedding` piecewise.
        target_transform: of a regression target, as settled.
        n_target_knots: knots of the transform `quantile`.
        folds: how many folds the training rows were in.
    """

    n_num: _Width
    encodings: tuple[Encoding, ...]
    has_missing: tuple[bool, ...]
    d_out: _Count
    embedding_dim: _Count | Literal["auto"]
    unknown_rate: Rate
    normalize: bool
    n_blocks: _Width
    d_block: _Count
    activation: Literal["relu", "gelu", "silu", "selu", "tanh", "sigmoid", "mish"]
    norm: Literal["batch", "layer", "rms", "none"]
    norm_place: Literal["pre", "post", "after"]
    norm_momentum: Annotated[float, Field(gt=0, le=1)]
    norm_eps: Positive
    dropout: Rate
    residual: bool
    parametric_activation: bool = False
    numeric_embedding: Literal["none", "piecewise", "periodic"] = "none"
    embedded: tuple[_Width, ...] = ()
    n_bins: tuple[_Count, ...] = ()
    d_numeric: _Count = 8
    n_frequencies: _Count = 16
    frequency_sigma: Positive = 0.1
    feature_scale: bool = False
    members: _Count = 1
    members_differ: Literal["input", "linear", "block", "layers", "weights"] = "input"
    folds: _Count = 1
    linear_skip: bool = False
    member_start: Literal["normal", "signs"] = "signs"
    target_transform: Literal["none", "log", "quantile"] = "none"
    n_target_knots: Annotated[int, Field(ge=0, le=MOST_KNOTS)] = 0
    clips: bool = False


_ADAPTER = TypeAdapter(NetworkSpec)
_DROPOUT = 0.1
_MANY_NUMBERS = 24


def choose_network(
    schema: Schema,
    x_cat: Integers,
    *,
    n_num: int,
    d_out: int,
    preprocess: PreprocessConfig,
    model: ModelConfig,
    edges: Mapping[int, Tensor],
    target: TargetScale,
    n_folds: int = 1,
) -> NetworkSpec:
    """Settle what the network is built from.

    Args:
        schema: of the training rows.
        x_cat: their codes.
        n_num: columns that preprocessing gives.
        d_out: classes, or 1 for regression.
        edges: of the bins of each column of numbers that is worth an embedding.
        target: fitted on the training targets.
        n_folds: folds that the training rows are in; 1: none.

    Raises:
        SchemaError: an encoding for a column that is no category.
    """
    encodings = choose_encodings(schema, preprocess)
    missing = (x_cat == MISSING).any(axis=0)
    piecewise = model.numeric_embedding == "piecewise"
    return NetworkSpec(
        n_num=n_num,
        encodings=encodings,
        has_missing=tuple(missing.tolist()),
        d_out=d_out,
        embedding_dim=preprocess.embedding_dim,
        unknown_rate=preprocess.unknown_rate if encodings else 0.0,
        normalize=preprocess.scaling == "batchnorm",
        n_blocks=model.n_blocks,
        d_block=model.d_block,
        activation=model.activation,
        norm=model.norm,
        norm_place=model.norm_place,
        norm_momentum=model.norm_momentum,
        norm_eps=model.norm_eps,
        dropout=choose_dropout(model.dropout, d_out),
        residual=model.residual,
        parametric_activation=model.parametric_activation,
        numeric_embedding=model.numeric_embedding if edges else "none",
        embedded=tuple(edges),
        n_bins=tuple(len(column) - 1 for column in edges.values()) if piecewise else (),
        d_numeric=choose_d_numeric(model.d_numeric, len(edges)),
        n_frequencies=model.n_frequencies,
        frequency_sigma=model.frequency_sigma,
        feature_scale=model.feature_scale,
        members=model.members,
        members_differ=model.members_differ,
        folds=n_folds,
        linear_skip=model.linear_skip and model.members_differ == "weights",
        member_start=_member_start(model, embeds=bool(edges)),
        target_transform=target.kind,
        n_target_knots=target.n_knots,
        clips=target.clips,
    )


def choose_d_numeric(asked: int | Literal["auto"], n_embedded: int) -> int:
    """Choose the width of a number's embedding: narrow where many numbers make the input wide.

    Example:
        >>> choose_d_numeric("auto", 24), choose_d_numeric("auto", 25)
        (8, 4)
    """
    if not isinstance(asked, str):
        return asked
    return 4 if n_embedded > _MANY_NUMBERS else 8


def choose_dropout(asked: float | Literal["auto"], d_out: int) -> float:
    """Choose the chance of dropout: none where the output is one number; see docs/log.md.

    Example:
        >>> choose_dropout("auto", 1), choose_dropout("auto", 2), choose_dropout(0.3, 1)
        (0.0, 0.1, 0.3)
    """
    if not isinstance(asked, str):
        return asked
    return 0.0 if d_out == 1 else _DROPOUT


def choose_encodings(schema: Schema, config: PreprocessConfig) -> tuple[Encoding, ...]:
    """Choose the encoding of each categorical column: by name, for all, or by its levels."""
    for name in config.encodings:
        if name not in schema.cat_names:
            kind = {column.name: column.kind for column in schema.columns}.get(name)
            what = f"it is {kind}" if kind else "there is no such feature column"
            hint = "" if kind else did_you_mean(name, schema.names)
            raise SchemaError(
                f"preprocess.encodings must name categorical columns, however: {name!r}: {what}."
                f"{hint or ' Name its kind with --kind (in Python: kinds=...), or leave it out.'}"
            )
    return tuple(
        config.encodings.get(column.name) or _by_levels(len(column.vocabulary), config)
        for column in schema.cat_columns
    )


def make(
    spec: NetworkSpec,
    schema: Schema,
    generator: torch.Generator,
    *,
    init: Any = "zeros",
    init_constant: float = 0.0,
) -> TabularNet:
    """Build the network, initialized from the generator."""
    levels = [len(column.vocabulary) for column in schema.cat_columns]
    categories: Sequence[CatEncoding] = list(
        zip(spec.encodings, levels, spec.has_missing, strict=True)
    )
    alone = spec.n_num == 0 and not categories
    return make_network(
        n_num=1 if alone else spec.n_num,  # a column of zeros, so that an intercept is left
        cat_encodings=categories,
        d_out=spec.d_out,
        embedding_dim=spec.embedding_dim,
        unknown_rate=spec.unknown_rate,
        normalize=spec.normalize and not alone,
        n_blocks=spec.n_blocks,
        d_block=spec.d_block,
        activation=spec.activation,
        norm=spec.norm,
        norm_place=spec.norm_place,
        norm_momentum=spec.norm_momentum,
        norm_eps=spec.norm_eps,
        dropout=spec.dropout,
        residual=spec.residual,
        embedded=_embedded(spec),
        scales=spec.feature_scale,
        parametric=spec.parametric_activation,
        members=_members(spec),
        init=init,
        init_constant=init_constant,
        generator=generator,
    )


def write_spec(spec: NetworkSpec) -> dict[str, Any]:
    """Return the spec as plain values, for JSON."""
    found: dict[str, Any] = _ADAPTER.dump_python(spec, mode="json")
    return found


def read_spec(
    given: object, schema: Schema, tensors: dict[str, Tensor], source: str
) -> NetworkSpec:
    """Read what `write_spec` gave, and make sure that building it takes no more than is there.

    Raises:
        CheckpointError: a value that cannot be, or that does not fit schema and tensors.
    """
    try:
        spec = _ADAPTER.validate_json(json.dumps(given))
    except ValueError as reason:
        raise CheckpointError(
            f"{source} must describe a network, however: {str(reason).splitlines()[0]:.200}. "
            "The file is damaged or of another version of afina."
        ) from None
    if not _fits(spec, schema, tensors):
        raise CheckpointError(
            f"{source} must describe the network whose tensors lie beside it, however: it does "
            "not fit them or the schema. Copy the whole folder again from where it is whole."
        )
    return spec


def _by_levels(n_levels: int, config: PreprocessConfig) -> Encoding:
    if config.categories != "auto":
        return config.categories
    return "onehot" if n_levels <= config.onehot_max else "embedding"


def _fits(spec: NetworkSpec, schema: Schema, tensors: dict[str, Tensor]) -> bool:
    """Tell if building the network takes about as many numbers as lie beside it, or fewer."""
    n_numbers = sum(tensor.numel() for tensor in tensors.values())
    widths = [
        (len(column.vocabulary) + 2, _width(spec, len(column.vocabulary)))
        for column, encoding in zip(schema.cat_columns, spec.encodings, strict=False)
        if encoding == "embedding"
    ]
    hidden = spec.d_block * max(1, spec.d_block * (spec.n_blocks - 1)) if spec.n_blocks else 0
    numeric = max([*spec.n_bins, spec.n_frequencies if spec.embedded else 0])
    first = spec.n_num * (spec.d_block if spec.n_blocks else spec.d_out)
    in_members = (spec.d_block if spec.n_blocks else spec.n_num) + spec.d_out
    if spec.members_differ == "weights":
        in_members = first + hidden + spec.d_out
    needed = (
        spec.n_num,
        first,
        spec.d_out,
        hidden,
        len(spec.embedded) * spec.d_numeric * numeric,
        spec.members * in_members if spec.members > 1 else 0,
        spec.n_target_knots,
    )
    return (
        len(spec.encodings) == len(spec.has_missing) == len(schema.cat_columns)
        and len(spec.n_bins) in (0, len(spec.embedded))
        and spec.n_blocks <= len(tensors)
        and max(needed) <= n_numbers
        and spec.folds * spec.members <= max(n_numbers, _LARGEST_TABLE)
        and sum(n * width for n, width in widths)
        <= 3 * (n_numbers + max([width for _, width in widths], default=0))
    )


def _width(spec: NetworkSpec, n_levels: int) -> int:
    width = embedding_width(n_levels) if spec.embedding_dim == "auto" else spec.embedding_dim
    return width * (spec.members if spec.members_differ == "weights" else 1)


def _embedded(spec: NetworkSpec) -> EmbeddedNumbers | None:
    if spec.numeric_embedding == "none":
        return None
    return EmbeddedNumbers(
        kind=spec.numeric_embedding,
        columns=spec.embedded,
        d_embedding=spec.d_numeric,
        n_bins=spec.n_bins,
        n_frequencies=spec.n_frequencies,
        sigma=spec.frequency_sigma,
    )


def _members(spec: NetworkSpec) -> MemberPlan | None:
    if spec.members == 1:
        return None
    return MemberPlan(
        n_members=spec.members,
        differ=spec.members_differ,
        start=spec.member_start,
        probabilities=spec.d_out > 1,
        n_folds=spec.folds,
        linear_skip=spec.linear_skip,
    )


def _member_start(model: ModelConfig, *, embeds: bool) -> Literal["normal", "signs"]:
    if model.member_start != "auto":
        return model.member_start
    return "normal" if embeds and model.members_differ in ("input", "layers") else "signs"
