"""The run folder: begun when everything up to training succeeded, removed if nothing is in it."""

import contextlib
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from afina.config import Config, read_config, to_toml
from afina.errors import CheckpointError, SchemaError, StorageError
from afina.storage import write_file

FORMAT = 1
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """A file that a run was made from.

    Args:
        path: absolute.
        size: bytes.
        sha256: 64 hexadecimal digits.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Begun:
    """What `run.json` says: what it takes to make the run again.

    Args:
        table: the table; none: rows passed from Python, which cannot be read again.
        val: the table of validation rows, where there is one of its own.
        target: name of the target column.
        threads: processor threads, as resolved.
        batch_size: rows per step, as resolved.
        lr: learning rate, as resolved.
        schema_sha256: of schema.json, which must come out the same again.
        split_sha256: of split.json, which must come out the same again.
    """

    table: SourceFile | None
    val: SourceFile | None
    target: str
    threads: int
    batch_size: int
    lr: float
    schema_sha256: str
    split_sha256: str


def describe_file(path: Path) -> SourceFile:
    """Measure a file that a run is made from."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return SourceFile(str(path.resolve()), size, digest.hexdigest())


def check_unchanged(file: SourceFile) -> Path:
    """Find the file again and make sure that it holds the same bytes.

    Raises:
        SchemaError: it is gone or changed.
    """
    path = Path(file.path)
    try:
        now = describe_file(path)
    except OSError as reason:
        raise SchemaError(
            f"A run is resumed with the table it was begun with, however: {path} cannot be read "
            f"({reason.strerror}). Put it back, or fit anew."
        ) from None
    if (now.size, now.sha256) != (file.size, file.sha256):
        raise SchemaError(
            f"A run is resumed with the table it was begun with, however: {path} was changed: it "
            f"had {file.size:,} bytes with sha256 {file.sha256[:12]}..., and has {now.size:,} with "
            f"{now.sha256[:12]}... now. Put the old one back, or fit anew."
        )
    return path


def choose_folder(out: Path | None, name: str, *, overwrite: bool) -> Path:
    """Return the folder a new run goes to: `out`, or `runs/<utc>-<name>`.

    Raises:
        StorageError: `out` is there already, and neither an empty folder nor a run that may be
            overwritten.
    """
    if out is not None:
        if not os.path.lexists(out) or _is_empty_folder(out) or (overwrite and is_run(out)):
            return out
        how = (
            "Choose another, or add --overwrite (in Python: overwrite=True)"
            if is_run(out)
            else "Choose another"
        )
        what = "it is no run of afina and is left alone" if overwrite else "it exists"
        raise StorageError(f"A run needs a folder of its own, however: {out}: {what}. {how}.")
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{plain.strip('.')[:60] or 'table'}"
    folder = Path("runs") / stem
    number = 2
    while folder.exists():
        folder = Path("runs") / f"{stem}-{number}"
        number += 1
    return folder


@contextlib.contextmanager
def begin_folder(run: Path, files: Mapping[str, bytes]) -> Iterator[None]:
    """Make the run folder with its first files; if what follows fails, take it away again.

    A folder that holds a checkpoint by then stays, so that the run can be resumed.

    Raises:
        StorageError: it cannot be made or written.
    """
    made = _make_folders(run)
    try:
        for name, data in files.items():
            write_file(run / name, data)
        yield
    except BaseException:
        if not has_checkpoint(run):
            _take_away(run, made)
        raise


def write_begun(begun: Begun) -> bytes:
    """Encode run.json."""
    return json.dumps({"format": FORMAT, "by": "afina", **asdict(begun)}, indent=1).encode() + b"\n"


def read_begun(run: Path) -> Begun:
    """Decode run.json.

    Raises:
        CheckpointError: it is not there or damaged.
    """
    content = _read_json(run / "run.json")
    try:
        begun = _read_record(content)
    except (KeyError, TypeError, ValueError) as reason:
        raise CheckpointError(
            f"A run folder must have a whole run.json, however: {run / 'run.json'} is not one "
            f"({type(reason).__name__}: {reason!s:.200}). Fit again."
        ) from None
    return begun


def read_settings(run: Path) -> Config:
    """Read a run's config.toml."""
    return read_config(run / "config.toml")


def write_settings(config: Config) -> bytes:
    """Encode config.toml."""
    return to_toml(config).encode()


def is_run(folder: Path) -> bool:
    """Say whether a folder is a run of afina."""
    try:
        read_begun(folder)
    except CheckpointError:
        return False
    return True


def was_trained_on(model: Path, table: Path) -> bool:
    """Say whether a table file is, byte for byte, the one that a model was trained on."""
    run = model if (model / "run.json").exists() else model.parent
    try:
        begun = read_begun(run).table
        return begun is not None and describe_file(table).sha256 == begun.sha256
    except (CheckpointError, OSError):
        return False


def has_checkpoint(run: Path) -> bool:
    """Say whether a run folder holds anything to go on from."""
    return any((run / "checkpoints").glob("step-*"))


def newest_checkpoint(run: Path) -> int | None:
    """Return the step of the newest checkpoint by name; none if there is none."""
    names = [path.name.removeprefix("step-") for path in (run / "checkpoints").glob("step-*")]
    return max((int(name) for name in names if name.isdigit()), default=None)


def write_log(run: Path, line: str) -> None:
    """Add a line with the time to log.txt; a log that cannot be written stops nothing."""
    with contextlib.suppress(OSError), (run / "log.txt").open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {' '.join(line.splitlines())}\n")


def _is_empty_folder(path: Path) -> bool:
    try:
        return path.is_dir() and not any(path.iterdir())
    except OSError:
        return False


def _make_folders(run: Path) -> list[Path]:
    """Make a folder and those above it; give those that were not there, the deepest first."""
    made = []
    folder = run
    while not folder.exists() and folder != folder.parent:
        made.append(folder)
        folder = folder.parent
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise _cannot_make(run, reason) from reason
    if not os.access(run, os.W_OK | os.X_OK):
        raise _cannot_make(run, PermissionError(13, os.strerror(13)))
    return made


def _cannot_make(run: Path, reason: OSError) -> StorageError:
    error = StorageError(
        f"A run folder must be writable, however: {run}: {reason.strerror}. Choose another with "
        "--out (in Python: out=...)."
    )
    error.errno = reason.errno
    return error


def _take_away(run: Path, made: list[Path]) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(run)
        if run not in made:  # it was there, and empty
            run.mkdir()
    for folder in made[1:]:
        with contextlib.suppress(OSError):
            folder.rmdir()  # refuses where something else came to lie there


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
    except OSError as reason:
        raise CheckpointError(
            f"{path.parent} must be a run folder, however: {path.name} cannot be read "
            f"({reason.strerror}). Name the folder that `afina fit` made."
        ) from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must be a JSON object, however: it is not. Fit again.")
    return content


def _read_record(content: dict[str, Any]) -> Begun:
    """Check every value of run.json; any error says that it is not as it was written."""
    if (content.pop("format"), content.pop("by")) != (FORMAT, "afina"):
        raise ValueError("it is of another format")
    for key in ("table", "val"):
        if content[key] is not None:
            content[key] = SourceFile(**content[key])
            _check_types(content[key])
    begun = Begun(**content)
    _check_types(begun)
    if begun.threads < 1 or begun.batch_size < 1 or not 0 < begun.lr < math.inf:
        raise ValueError("a number is out of its range")
    return begun


def _check_types(record: SourceFile | Begun) -> None:
    for name, value in asdict(record).items():
        wanted: Any = {"size": int, "threads": int, "batch_size": int, "lr": float}.get(name, str)
        if name in ("table", "val"):
            continue
        if type(value) is not wanted:
            raise TypeError(f"{name} is {type(value).__name__}")
