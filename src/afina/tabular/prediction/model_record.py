"""What a shipped model knows besides tensors and schema: `model.json`."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as checked

from afina.errors import CheckpointError
from afina.table import Label
from afina.tabular.scoring import Baseline

FORMAT = 1
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Facts:
    """What is known of the target and of how its tables are read.

    Args:
        task: "binary", "multiclass" or "regression".
        target: name of the column.
        classes: label of each class number, letter by letter; empty for regression.
        baseline: what can be said without looking at a row.
        n_train: rows that trained.
        n_val: rows that decided when to stop.
        weight: column of weights, used in `evaluate`.
        group: column that the network does not see.
        missing_values: words that mean "missing".
        delimiter: between cells of CSV files.
        encoding: of CSV files.
    """

    task: str
    target: str
    classes: tuple[Label, ...]
    baseline: Baseline
    n_train: int = 0
    n_val: int = 0
    weight: str | None = None
    group: str | None = None
    missing_values: tuple[str, ...] = ()
    delimiter: str | None = None
    encoding: str = "utf-8"


@checked(frozen=True, config=_STRICT)
class _Stored:
    """model.json as it stands, with every type and range checked."""

    format: Literal[1]
    by: Literal["afina"]
    version: str
    task: Literal["binary", "multiclass", "regression"]
    target: str
    classes: tuple[bool | int | float | str, ...]
    shares: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    mean: Annotated[float, Field(allow_inf_nan=False)] | None
    n_train: Annotated[int, Field(ge=0)]
    n_val: Annotated[int, Field(ge=0)]
    weight: str | None
    group: str | None
    missing_values: tuple[str, ...]
    delimiter: str | None
    encoding: str
    preprocess: dict[str, Any]
    network: dict[str, Any]


_ADAPTER = TypeAdapter(_Stored)


def write_facts(facts: Facts, preprocess: dict[str, Any], network: dict[str, Any]) -> bytes:
    """Encode model.json."""
    from afina import __version__

    plain = asdict(facts)
    baseline = plain.pop("baseline")
    content = {
        "format": FORMAT,
        "by": "afina",
        "version": __version__,
        **plain,
        **baseline,
        "preprocess": preprocess,
        "network": network,
    }
    return json.dumps(content, indent=1, allow_nan=False).encode() + b"\n"


def read_facts(data: bytes, source: str) -> tuple[Facts, dict[str, Any], dict[str, Any]]:
    """Decode model.json.

    Returns:
        The facts, and the specs of preprocessing and network, which are still to be checked.

    Raises:
        CheckpointError: a value that cannot be.
    """
    try:
        found = _ADAPTER.validate_json(data)
    except (ValueError, RecursionError) as reason:
        lines = str(reason).splitlines()
        raise CheckpointError(
            f"{source} must describe a model, however: {' '.join(lines[:3]):.300}. "
            "The file is damaged or of another version of afina."
        ) from None
    n_classes = len(found.classes)
    keys = {(type(label), label) for label in found.classes}
    is_number = found.task == "regression"
    wanted = (0, 0) if is_number else (2, 2) if found.task == "binary" else (1, 10_000_000)
    if not (
        wanted[0] <= n_classes <= wanted[1]
        and len(keys) == n_classes == len(found.shares)
        and (found.mean is not None) == is_number
    ):
        raise CheckpointError(
            f"{source} must describe a model, however: its classes do not fit its task "
            f"{found.task!r}. The file is damaged or of another version of afina."
        )
    facts = Facts(
        found.task,
        found.target,
        found.classes,
        Baseline(found.shares, found.mean),
        found.n_train,
        found.n_val,
        found.weight,
        found.group,
        found.missing_values,
        found.delimiter,
        found.encoding,
    )
    return facts, found.preprocess, found.network
