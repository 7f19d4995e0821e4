"""`model.json`: what a shipped model holds besides its tensors and its schema."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as checked
from torch import Tensor

from afina.config import ModelSettings, PreprocessSettings
from afina.declaration import resolved
from afina.errors import CheckpointError
from afina.nn import embedding_width
from afina.table import Label, Schema, TargetTask
from afina.tabular.scoring import Baseline, scores_of_task
from afina.tabular.training.model_shape import ModelShape

FORMAT: Final = 2
_STRICT = ConfigDict(extra="forbid", strict=True)
_DAMAGED = "The file is damaged or from another version of afina."


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts about the target, and about how to read tables.

    Args:
        task: what is predicted.
        target: name of the target column.
        classes: label of each class number, unchanged; empty for regression.
        n_train: number of training rows.
        n_val: number of validation rows.
        weight: column of weights, which `evaluate` uses.
        group: column of groups, which the network does not see.
        missing_values: words that mean "missing".
        delimiter: delimiter of CSV files.
        encoding: encoding of CSV files.
        shares: share of each class among the training rows.
        mean: mean of a regression target in the training rows.
        metric: the score that results lead with. None: the usual one.
    """

    task: TargetTask
    target: str
    classes: tuple[Label, ...]
    n_train: Annotated[int, Field(ge=0)]
    n_val: Annotated[int, Field(ge=0)]
    weight: str | None
    group: str | None
    missing_values: tuple[str, ...]
    delimiter: str | None
    encoding: str
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    mean: Annotated[float, Field(allow_inf_nan=False)] | None
    metric: str | None = None

    @property
    def baseline(self) -> Baseline:
        """The best constant prediction."""
        return Baseline(self.shares, self.mean)


@checked(frozen=True, kw_only=True, config=_STRICT)
class ModelRecord(Facts):
    """The content of model.json: the parts of a model, and facts about its target.

    Every type and range is checked.

    Args:
        version: the version of afina that wrote it.
        preprocess: preprocessing settings, resolved.
        model: network settings, resolved.
        learned: what the data determined.
    """

    format: Literal[2]
    by: Literal["afina"]
    version: str
    preprocess: PreprocessSettings
    model: ModelSettings
    learned: ModelShape


_ADAPTER = TypeAdapter(ModelRecord)
_LARGEST_TABLE = 1_000_000  # folds times members; this table is not among the tensors


def write_record(record: ModelRecord) -> bytes:
    """Encode model.json."""
    first = {"format": record.format, "by": record.by, "version": record.version}
    content = first | asdict(record)
    if record.metric is None:
        del content["metric"]
    return json.dumps(content, indent=1, allow_nan=False).encode() + b"\n"


def read_record(data: bytes, source: str) -> ModelRecord:
    """Decode model.json; `check_fits` checks that it fits the schema and the tensors.

    Raises:
        CheckpointError: a value is invalid.
    """
    try:
        _check_format(data, source)
        record = _ADAPTER.validate_json(data)
    except (ValueError, RecursionError) as reason:
        if isinstance(reason, CheckpointError):
            raise
        raise CheckpointError(
            f"{source} must describe a model",
            but=" ".join(str(reason).splitlines()[:3])[:300],
            fix=_DAMAGED,
        ) from None
    n_classes = len(record.classes)
    keys = {(type(label), label) for label in record.classes}
    is_number = record.task == "regression"
    least, most = (0, 0) if is_number else (2, 2) if record.task == "binary" else (1, 10_000_000)
    if not (
        least <= n_classes <= most
        and len(keys) == n_classes == len(record.shares)
        and (record.mean is not None) == is_number
        and record.metric in (None, *scores_of_task(n_classes))
    ):
        raise CheckpointError(
            f"{source} must describe a model",
            but=f"its classes do not fit its task {record.task!r}",
            fix=_DAMAGED,
        )
    return record


def check_fits(
    record: ModelRecord, schema: Schema, tensors: Mapping[str, Tensor], source: str
) -> None:
    """Raise if building the model would take more memory than the tensors stored with it.

    Raises:
        CheckpointError: the description does not fit schema and tensors.
    """
    if not _fits(record, schema, tensors):
        raise CheckpointError(
            f"{source} must describe the model whose tensors are stored with it",
            but="it does not match them or the schema",
            fix="Copy the whole folder again from an undamaged original.",
        )


def _check_format(data: bytes, source: str) -> None:
    """Raise an error for an earlier format, rather than for values that it makes invalid."""
    content = json.loads(data)
    number = content.get("format") if isinstance(content, dict) else None
    if type(number) is int and number < FORMAT:
        raise CheckpointError(
            f"{source} must have format {FORMAT}",
            got=f"format {number}, of an earlier version of afina",
            fix="Fit again, or use that version.",
        )


def _fits(record: ModelRecord, schema: Schema, tensors: Mapping[str, Tensor]) -> bool:
    """Return whether building the model allocates roughly no more numbers than are stored."""
    shape, model = record.learned, record.model
    n_numbers = sum(tensor.numel() for tensor in tensors.values())
    widths = [
        (len(column.vocabulary) + 2, _embedding_width(record, len(column.vocabulary)))
        for column, encoding in zip(schema.cat_columns, shape.encodings, strict=False)
        if encoding == "embedding"
    ]
    hidden = model.d_block * max(1, model.d_block * (model.n_blocks - 1)) if model.n_blocks else 0
    numeric = max([*shape.n_bins, model.n_frequencies if shape.embedded else 0])
    first = shape.n_num * (model.d_block if model.n_blocks else shape.d_out)
    in_members = (model.d_block if model.n_blocks else shape.n_num) + shape.d_out
    if model.members_differ == "weights":
        in_members = first + hidden + shape.d_out
    needed = (
        shape.n_num,
        first,
        shape.d_out,
        hidden,
        len(shape.embedded) * resolved(model.d_numeric) * numeric,
        model.members * in_members if model.members > 1 else 0,
        shape.n_target_knots,
    )
    return (
        len(shape.encodings) == len(shape.has_missing) == len(schema.cat_columns)
        and len(shape.n_bins) in (0, len(shape.embedded))
        and model.n_blocks <= len(tensors)
        and max(needed) <= n_numbers
        and shape.folds * model.members <= max(n_numbers, _LARGEST_TABLE)
        and sum(n * width for n, width in widths)
        <= 3 * (n_numbers + max([width for _, width in widths], default=0))
    )


def _embedding_width(record: ModelRecord, n_levels: int) -> int:
    dim, model = record.preprocess.embedding_dim, record.model
    width = embedding_width(n_levels) if dim == "auto" else dim
    return width * (model.members if model.members_differ == "weights" else 1)
