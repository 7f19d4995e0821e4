"""run.json: the information needed to repeat a run."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from afina.errors import CheckpointError
from afina.records.json_record import Count, Positive, Text, parse_record

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """An input file of a run.

    Args:
        path: absolute path; `-` for standard input.
        size: size in bytes.
        sha256: 64 hexadecimal digits.
    """

    path: Text
    size: Count
    sha256: Text


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The inputs of a run, and the settings that `auto` and `find` resolved to.

    Args:
        table: the table. None: the rows were passed from Python, and cannot be read again.
        val: the table of validation rows. None: validation rows came from `table`.
        target: name of the target column.
        threads: number of processor threads, as resolved.
        batch_size: rows per step, as resolved.
        lr: learning rate, as resolved.
        schema_sha256: digest of schema.json, which must be the same when the run is resumed.
        split_sha256: digest of split.json, which must be the same when the run is resumed.
    """

    format: Literal[1] = 1
    by: Literal["afina"] = "afina"
    table: SourceFile | None
    val: SourceFile | None
    target: Text
    threads: Positive
    batch_size: Positive
    lr: Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
    schema_sha256: Text
    split_sha256: Text


def read_run_record(run: Path) -> RunRecord:
    """Read run.json without trusting it, in bounded time; reject unknown keys.

    Raises:
        CheckpointError: run.json is missing or damaged.
    """
    path = run / "run.json"
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as reason:
        fix = "Name the folder that `afina fit` made."
        if (run / "metrics.jsonl").is_file():
            fix = "A run of afina.Trainer is continued in Python, by fit(..., resume=True)."
        raise CheckpointError(
            f"{run} must be a run folder",
            but=f"{path.name} cannot be read ({reason.strerror})",
            fix=fix,
        ) from None
    return parse_record(
        data, RunRecord, source=path, fix="Fit again.", max_bytes=_MAX_BYTES, unknown="forbid"
    )
