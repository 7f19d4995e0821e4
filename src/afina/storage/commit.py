"""Write folders and files so that a reader sees either the old version or the complete new one.

The order of operations makes this safe against kills and power cuts: write under a temporary name
next to the destination, fsync every file, fsync the temporary folder, rename, fsync the parent.
Without the first fsync, a power cut could leave an empty file under the new name; without the last
one, the rename itself could be lost.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from afina.errors import StorageError
from afina.storage.lock import is_alive
from afina.storage.manifest import MANIFEST, describe, why_bad_name, write_manifest
from afina.storage.os_errors import storage_error

_TEMPORARY = re.compile(r"\.tmp-.+-(?P<pid>[1-9][0-9]{0,9})-[0-9a-f]{8}", re.DOTALL)
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def commit_folder(goal: Path, files: Mapping[str, bytes | memoryview]) -> None:
    """Write a new folder with these files and a manifest, durably and completely, or not at all.

    The slow parts (hashing, writing, fsync) release the interpreter's lock, so a background thread
    does not delay the others.

    Args:
        goal: the folder, which must not exist yet; its parent must exist.
        files: content by file name; names have no separators and no leading dot.

    Raises:
        StorageError: the folder already exists, or cannot be written. Nothing is left behind.
        ValueError: a file name is not allowed.
    """
    for name in files:
        if bad := why_bad_name(name):
            raise ValueError(f"A file in a folder must have a plain name, but {name!r} {bad}.")
    # The run folder's lock keeps others from creating the goal between this check and the rename;
    # besides, a rename never replaces a folder that is not empty.
    if os.path.lexists(goal):
        raise StorageError(
            "A folder must be written under a new name",
            but=f"{goal} already exists",
            fix="Remove it, or choose another name.",
        )
    manifest = write_manifest({name: describe(data) for name, data in files.items()})
    n_bytes = sum(map(len, files.values())) + len(manifest)
    with _reporting("written", goal, n_bytes), _scratch(goal) as scratch:
        scratch.mkdir()
        for name, data in files.items():
            _write_new(scratch / name, data)
        _write_new(scratch / MANIFEST, manifest)
        _sync_folder(scratch)
        scratch.rename(goal)
        try:
            _sync_folder(goal.parent)
        except OSError:
            goal.rename(scratch)  # an error means that it does not exist
            raise


def write_file(path: Path, data: bytes) -> None:
    """Write or replace one file: a reader sees the old content or all of the new.

    Raises:
        StorageError: the file cannot be written or made durable; an existing file stays intact.
    """
    with _reporting("written", path, len(data)), _scratch(path) as scratch:
        _write_new(scratch, data)
        scratch.replace(path)
        _sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and its parents so that they survive a power cut; they may already exist.

    Raises:
        StorageError: the folder cannot be created.
    """
    missing = [place for place in (path, *path.parents) if not place.exists()]
    with _reporting("made", path):
        for place in reversed(missing):
            place.mkdir(exist_ok=True)
            _sync_folder(place.parent)
        if not path.is_dir():
            path.mkdir()  # raises the error


def sync_file(descriptor: int, path: Path) -> None:
    """Make the content of an open file durable, and its name too.

    Raises:
        StorageError: the system reported an error.
    """
    with _reporting("written", path):
        os.fsync(descriptor)
        _sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder so that readers never see a part of it.

    Raises:
        StorageError: the folder does not exist or cannot be removed.
    """
    scratch = _temporary_name(path)
    with _reporting("removed", path):
        path.rename(scratch)
        _sync_folder(path.parent)  # the new name must be durable before the files are removed
        _remove(scratch)


def sweep(parent: Path) -> list[Path]:
    """Remove unfinished files that writers left in a folder when they were killed.

    Call it at the start of a run, while holding the run folder's lock: leftovers with the number of
    this process are assumed to come from an earlier process with the same number.

    Returns:
        the paths removed.

    Raises:
        StorageError: a leftover cannot be removed.
    """
    removed = []
    with _reporting("listed", parent):
        paths = sorted(parent.iterdir())
    for path in paths:
        match = _TEMPORARY.fullmatch(path.name)
        if match is None or (int(match["pid"]) != os.getpid() and is_alive(int(match["pid"]))):
            continue
        with _reporting("removed", path):
            _remove(path)
        removed.append(path)
    return removed


def _temporary_name(goal: Path) -> Path:
    return goal.parent / f".tmp-{goal.name}-{os.getpid()}-{secrets.token_hex(4)}"


def _write_new(path: Path, data: bytes | memoryview) -> None:
    """Create a file with durable content."""
    descriptor = os.open(path, _NEW_FILE, 0o666)
    try:
        rest = memoryview(data)
        while rest:  # on a full disk, the first call writes a part, and the next one reports ENOSPC
            n_written = os.write(descriptor, rest)
            if n_written == 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            rest = rest[n_written:]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)  # network file systems report a full disk here


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextlib.contextmanager
def _scratch(goal: Path) -> Iterator[Path]:
    """Yield a temporary name next to the destination; after a failure, remove the partial write.

    If that fails too, `sweep` removes it at the next start.
    """
    scratch = _temporary_name(goal)
    try:
        yield scratch
    except BaseException:  # such as a second Ctrl-C, or no memory
        with contextlib.suppress(OSError):
            _remove(scratch)
        raise


@contextlib.contextmanager
def _reporting(done: str, path: Path, n_bytes: int | None = None) -> Iterator[None]:
    """Turn an OSError into a StorageError that says what failed and how much space is free."""
    try:
        yield
    except OSError as reason:
        code = errno.errorcode.get(reason.errno or 0, "no code")
        need = "" if n_bytes is None else f", and {n_bytes:,} are needed"
        raise storage_error(
            f"{path} must be {done} in full",
            reason,
            but=f"that failed: {reason.strerror or reason} ({code}); "
            f"{_free_space(path.parent)} free there{need}",
            fix="Nothing was left half-written. Make room, or choose another folder.",
        ) from reason


def _free_space(folder: Path) -> str:
    try:
        status = os.statvfs(folder)
    except OSError:
        return "an unknown number of bytes is"
    return f"{status.f_bavail * status.f_frsize:,} bytes are"
