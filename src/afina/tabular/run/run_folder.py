"""The run folder: created right before training, removed if training fails before a checkpoint."""

import contextlib
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from afina.config import Config, read_config, to_toml
from afina.errors import CheckpointError, SchemaError, StorageError
from afina.records.run_json import SourceFile, read_run_record
from afina.storage import (
    checkpoint_step,
    is_numbered,
    list_checkpoints,
    list_numbered,
    storage_error,
    write_file,
)
from afina.table import is_stdin, stdin_bytes


def describe_file(path: Path) -> SourceFile:
    """Return the path, size and digest of an input file."""
    if is_stdin(path):
        data = stdin_bytes()
        return SourceFile(str(path), len(data), hashlib.sha256(data).hexdigest())
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            size += len(block)
    return SourceFile(str(path.resolve()), size, digest.hexdigest())


def check_unchanged(file: SourceFile) -> Path:
    """Raise unless a file still holds the same bytes; return its path.

    Raises:
        SchemaError: it no longer exists or has changed.
    """
    path, must = Path(file.path), "A run must be resumed with the table it began with"
    if is_stdin(path):
        raise SchemaError(
            must,
            but="the table came from stdin, which cannot be read again",
            fix="Save the table as a file, and fit again.",
        )
    try:
        now = describe_file(path)
    except OSError as reason:
        raise SchemaError(
            must,
            but=f"{path} cannot be read ({reason.strerror})",
            fix="Restore the table, or fit again.",
        ) from None
    if (now.size, now.sha256) != (file.size, file.sha256):
        raise SchemaError(
            must,
            but=f"{path} was changed: it had {file.size:,} bytes with sha256 {file.sha256[:12]}..., "
            f"and now has {now.size:,} with {now.sha256[:12]}...",
            fix="Restore the old table, or fit again.",
        )
    return path


def choose_folder(out: Path | None, name: str, *, overwrite: bool) -> Path:
    """Return the folder for a new run: `out`, or `runs/<utc>-<name>`.

    Raises:
        StorageError: `out` exists, and is neither an empty folder nor a run to overwrite.
    """
    if out is not None:
        others = list_numbered(out)
        replaces = overwrite and is_run(out) and not others
        if not os.path.lexists(out) or _is_empty_folder(out) or replaces:
            return out
        must = "A run needs a new or empty folder"
        if overwrite:
            what = f"{out} is not a run of afina, so it is not overwritten"
            if others:
                what = f"{out} holds other runs, such as {others[0]}, so it is not overwritten"
            raise StorageError(must, but=what, fix="Choose another folder.")
        how = ", or add --overwrite (in Python: overwrite=True)" if is_run(out) else ""
        raise StorageError(must, but=f"{out} exists", fix=f"Choose another folder{how}.")
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{plain.strip('.')[:60] or 'table'}"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    return next(folder for name in names if not (folder := Path("runs") / name).exists())


@contextlib.contextmanager
def begin_folder(
    run: Path, files: Mapping[str, bytes], *, new_folders: Sequence[Path] | None = None
) -> Iterator[None]:
    """Make the run folder with its first files; remove it if the body of the `with` fails.

    A folder with a checkpoint stays, so that the run can be resumed.

    Args:
        run: the run folder.
        files: content by name.
        new_folders: the folders that `claim_folder` has created. None: create the folder.

    Raises:
        StorageError: the folder cannot be made or written.
    """
    if new_folders is None:
        new_folders = _make_folders(run)
    try:
        for name, data in files.items():
            write_file(run / name, data)
        yield
    except BaseException:
        if not has_checkpoint(run):
            _remove_folders(run, new_folders)
        raise


def read_settings(run: Path) -> Config:
    """Read a run's config.toml, even one from before `[experimental]` was introduced."""
    return read_config(run / "config.toml", former=True)


def write_settings(config: Config) -> bytes:
    """Encode config.toml."""
    return to_toml(config).encode()


def is_run(folder: Path) -> bool:
    """Return whether a folder is one of afina's run folders."""
    try:
        read_run_record(folder)
    except CheckpointError:
        return False
    return True


def was_trained_on(model: Path, table: Path) -> bool:
    """Return whether a table file equals the one that a model was trained on, byte for byte."""
    run = model if (model / "run.json").exists() else model.parent
    try:
        source = read_run_record(run).table
        return source is not None and describe_file(table).sha256 == source.sha256
    except (CheckpointError, OSError):
        return False


def has_checkpoint(run: Path) -> bool:
    """Return whether a run folder holds a checkpoint to resume from."""
    return newest_checkpoint(run) is not None


def newest_checkpoint(run: Path) -> int | None:
    """Return the step of the newest checkpoint, damaged or not, or None if there is none."""
    return max(map(checkpoint_step, list_checkpoints(run / "checkpoints")), default=None)


def write_log(run: Path, line: str) -> None:
    """Append a line with the time to log.txt; ignore errors while writing."""
    with contextlib.suppress(OSError), (run / "log.txt").open("a", encoding="utf-8") as file:
        file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {' '.join(line.splitlines())}\n")


def _is_empty_folder(path: Path) -> bool:
    try:
        return path.is_dir() and not any(path.iterdir())
    except OSError:
        return False


def _make_folders(run: Path) -> list[Path]:
    """Make a folder and its parents; return those that are new, the deepest first."""
    new_folders = [folder for folder in (run, *run.parents) if not folder.exists()]
    try:
        run.mkdir(parents=True, exist_ok=True)
        if not os.access(run, os.W_OK | os.X_OK):
            raise PermissionError(13, os.strerror(13))
    except OSError as reason:
        raise storage_error(
            "A run folder must be writable",
            reason,
            but=f"{run} is not: {reason.strerror}",
            fix="Choose another with --out (in Python: out=...).",
        ) from reason
    return new_folders


def _remove_folders(run: Path, new_folders: Sequence[Path]) -> None:
    """Remove what a run has written, and the new folders; the runs of other fits stay."""
    with contextlib.suppress(OSError):
        for path in run.iterdir():
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            elif not is_numbered(path):
                shutil.rmtree(path)
    for folder in new_folders:
        with contextlib.suppress(OSError):
            folder.rmdir()  # fails if something else has been put there
