"""Read and write records; every error names the file and the key."""

import json
import math
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, Strict, TypeAdapter, ValidationError

from afina.errors import CheckpointError
from afina.storage import read_json
from afina.storage.manifest import shown

Record = TypeVar("Record")
Unknown = Literal["ignore", "forbid"]

FIX = "Restore the file, or fit again in a new run folder."
_OTHER_VERSION = "It was written by another version of afina; use that one."
_MUST = {  # by pydantic's type of error
    "missing": "must be present",
    "unexpected_keyword_argument": "must not be present",
    "dataclass_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
}


def _finite_or_none(value: Any) -> Any:
    """Turn a number that is not finite into None; leave all other values to the type check."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer too large for a float
        return None


Text = Annotated[str, Strict()]
Count = Annotated[int, Strict(), Field(ge=0)]
Positive = Annotated[int, Strict(), Field(ge=1)]
Flag = Annotated[bool, Strict()]
Number = Annotated[Annotated[float, Strict()] | None, BeforeValidator(_finite_or_none)]
"""A number, or None (null in JSON) if it is not finite."""


def parse_record(
    data: bytes,
    kind: type[Record],
    *,
    source: Path | str,
    fix: str = FIX,
    max_bytes: int | None = None,
    unknown: Unknown = "ignore",
) -> Record:
    """Decode a record from the bytes of a JSON file.

    Args:
        data: the whole file.
        kind: the record's class.
        source: the file's path, for messages.
        fix: what to do about a damaged file.
        max_bytes: reject larger files, and files with too many values. None: no limit.
        unknown: what to do with keys that the record does not declare.

    Raises:
        CheckpointError: the file does not hold a valid record.
    """
    record: Record = check(parse_object(data, source, fix, max_bytes), kind, source, fix, unknown)
    return record


def parse_object(
    data: bytes, source: Path | str, fix: str = FIX, max_bytes: int | None = None
) -> dict[str, Any]:
    """Decode a JSON object that has no declared keys.

    Raises:
        CheckpointError: the bytes are not a JSON object.
    """
    try:
        content = read_json(data, max_bytes=max_bytes)
    except ValueError as reason:
        raise CheckpointError(f"{source} must be a JSON file", but=str(reason), fix=fix) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{source} must hold a JSON object", got=shown(content), fix=fix)
    return content


def check(
    values: Any,
    kind: Any,
    source: Path | str,
    fix: str = FIX,
    unknown: Unknown = "ignore",
    key: str = "",
) -> Any:
    """Check values parsed from JSON, and convert them to `kind`.

    Args:
        values: the keys and values of a record, or a single value.
        kind: a record's class, or a type such as `Count`.
        source: the file's path, for messages.
        fix: what to do about a damaged file.
        unknown: what to do with keys that the record does not declare.
        key: place of `values` in the file, for messages. Empty: the top level.

    Raises:
        CheckpointError: a value is invalid.

    Example:
        >>> check(-1, Count, "metrics.jsonl, line 2", key="step")
        Traceback (most recent call last):
        ...
        afina.errors.CheckpointError: metrics.jsonl, line 2: step must be greater than or equal \
to 0; got -1. Restore the file, or fit again in a new run folder.
    """
    try:
        return _adapter(kind).validate_python(values, extra=unknown)
    except ValidationError as reason:
        problem = reason.errors(include_url=False)[0]
        name = ".".join(map(str, (key, *problem["loc"]) if key else problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ").replace("Input should", "must")
        must = f"{source}: {name} {_MUST.get(problem['type'], message)}"
        got = None if problem["type"] in ("missing", "value_error") else shown(problem["input"])
        raise CheckpointError(
            must, got=got, fix=_OTHER_VERSION if name == "format" else fix
        ) from None


def read_bytes(path: Path) -> bytes | None:
    """Read a file of a run, or return None if it does not exist.

    Raises:
        CheckpointError: the file exists but cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as reason:
        raise CheckpointError(
            f"{path} must be a readable file", but=f"reading it failed: {reason.strerror}", fix=FIX
        ) from reason


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """Read a record from a file of a run, or return None if it does not exist.

    Raises:
        CheckpointError: the file exists but is damaged.
    """
    data = read_bytes(path)
    return None if data is None else parse_record(data, kind, source=path)


def to_dict(record: object) -> dict[str, Any]:
    """Return a record as JSON values: lists instead of tuples, and the keys used in the file."""
    kind: Any = type(record)
    values: dict[str, Any] = _adapter(kind).dump_python(record, mode="json", by_alias=True)
    return values


def write_record(record: object) -> bytes:
    """Encode a record in ASCII, because UTF-8 cannot encode a lone surrogate in a string."""
    return json.dumps(to_dict(record), indent=1, allow_nan=False).encode() + b"\n"


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
