"""What a network is built from, as it stands in model.json."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from torch import Tensor

from afina.config import ModelConfig, PreprocessConfig
from afina.config.sections import Encoding, Positive, Rate
from afina.errors import CheckpointError, SchemaError
from afina.models import CatEncoding, TabularNet, make_network
from afina.table import MISSING, Schema, did_you_mean
from afina.tabular.rows import Integers

_Width = Annotated[int, Field(ge=0, le=10_000_000)]

STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NetworkSpec:
    """Plain arguments of a network; the levels of categories come from the schema.

    Args:
        n_num: columns of numbers that preprocessing gives; 0 with no categories: an intercept.
        encodings: how each categorical column is encoded.
        has_missing: whether each had missing cells among the training rows.
        d_out: classes, or 1 for regression.
    """

    n_num: _Width
    encodings: tuple[Encoding, ...]
    has_missing: tuple[bool, ...]
    d_out: Annotated[int, Field(ge=1, le=10_000_000)]
    embedding_dim: Annotated[int, Field(ge=1, le=10_000_000)]
    unknown_rate: Rate
    normalize: bool
    n_blocks: _Width
    d_block: Annotated[int, Field(ge=1, le=10_000_000)]
    activation: Literal["relu", "gelu", "silu", "selu", "tanh", "sigmoid", "mish"]
    norm: Literal["batch", "layer", "rms", "none"]
    norm_place: Literal["pre", "post", "after"]
    norm_momentum: Annotated[float, Field(gt=0, le=1)]
    norm_eps: Positive
    dropout: Rate
    residual: bool


_ADAPTER = TypeAdapter(NetworkSpec)


def choose_network(
    schema: Schema,
    x_cat: Integers,
    *,
    n_num: int,
    d_out: int,
    preprocess: PreprocessConfig,
    model: ModelConfig,
) -> NetworkSpec:
    """Settle what the network is built from.

    Args:
        schema: of the training rows.
        x_cat: their codes.
        n_num: columns that preprocessing gives.
        d_out: classes, or 1 for regression.

    Raises:
        SchemaError: an encoding for a column that is no category.
    """
    encodings = choose_encodings(schema, preprocess)
    missing = (x_cat == MISSING).any(axis=0)
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
        dropout=model.dropout,
        residual=model.residual,
    )


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
        init=init,
        init_constant=init_constant,
        generator=generator,
    )


def write_spec(spec: NetworkSpec) -> dict[str, Any]:
    """Give the spec as plain values, for JSON."""
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
    n_cat = len(schema.cat_columns)
    n_numbers = sum(tensor.numel() for tensor in tensors.values())
    embedded = sum(
        len(column.vocabulary) + 2
        for column, encoding in zip(schema.cat_columns, spec.encodings, strict=False)
        if encoding == "embedding"
    )
    hidden = spec.d_block * max(1, spec.d_block * (spec.n_blocks - 1)) if spec.n_blocks else 0
    fits = (
        len(spec.encodings) == len(spec.has_missing) == n_cat
        and spec.n_blocks <= len(tensors)
        and max(spec.n_num, spec.d_out, hidden) <= n_numbers
        and embedded * spec.embedding_dim <= 3 * n_numbers + 3 * spec.embedding_dim
    )
    if not fits:
        raise CheckpointError(
            f"{source} must describe the network whose tensors lie beside it, however: it does "
            "not fit them or the schema. Copy the whole folder again from where it is whole."
        )
    return spec


def _by_levels(n_levels: int, config: PreprocessConfig) -> Encoding:
    if config.categories != "auto":
        return config.categories
    return "onehot" if n_levels <= config.onehot_max else "embedding"
