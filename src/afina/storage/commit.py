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
from collections.abc import Mapping
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
        bad = why_bad_name(name)
        if bad is not None:
            raise ValueError(f"A file in a folder must have a plain name, but {name!r} {bad}.")
    # The run folder's lock keeps others from creating the goal between this check and the rename;
    # besides, a rename never replaces a folder that is not empty.
    if os.path.lexists(goal):
        raise StorageError(
            "A folder must be written under a new name",
            but=f"{goal} exists",
            fix="Remove it, or choose another name.",
        )
    manifest = write_manifest({name: describe(data) for name, data in files.items()})
    n_bytes = sum(map(len, files.values())) + len(manifest)
    scratch = _temporary_name(goal)
    try:
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
    except OSError as reason:
        _discard(scratch)
        raise _failed("written", goal, reason, n_bytes) from reason
    except BaseException:  # such as a second Ctrl-C, or no memory
        _discard(scratch)
        raise


def write_file(path: Path, data: bytes) -> None:
    """Write or replace one file: a reader sees the old content or all of the new.

    Raises:
        StorageError: the file cannot be written or made durable; an existing file stays intact.
    """
    scratch = _temporary_name(path)
    try:
        _write_new(scratch, data)
        scratch.replace(path)
        _sync_folder(path.parent)
    except OSError as reason:
        _discard(scratch)
        raise _failed("written", path, reason, len(data)) from reason
    except BaseException:
        _discard(scratch)
        raise


def make_folder(path: Path) -> None:
    """Make a folder and its parents, which survive a power cut; they may already exist.

    Raises:
        StorageError: the folder cannot be created.
    """
    missing = [place for place in (path, *path.parents) if not place.exists()]
    try:
        for place in reversed(missing):
            place.mkdir(exist_ok=True)
            _sync_folder(place.parent)
        if not path.is_dir():
            path.mkdir()  # raises the error
    except OSError as reason:
        raise _failed("made", path, reason) from reason


def sync_file(descriptor: int, path: Path) -> None:
    """Make the content of an open file durable, and its name too.

    Raises:
        StorageError: the system reported an error.
    """
    try:
        os.fsync(descriptor)
        _sync_folder(path.parent)
    except OSError as reason:
        raise _failed("written", path, reason) from reason


def remove_folder(path: Path) -> None:
    """Remove a folder so that readers never see a part of it.

    Raises:
        StorageError: the folder does not exist or cannot be removed.
    """
    scratch = _temporary_name(path)
    try:
        path.rename(scratch)
        _sync_folder(path.parent)  # the new name must be durable before the files are removed
        _remove(scratch)
    except OSError as reason:
        raise _failed("removed", path, reason) from reason


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
    try:
        paths = sorted(parent.iterdir())
    except OSError as reason:
        raise _failed("listed", parent, reason) from reason
    for path in paths:
        match = _TEMPORARY.fullmatch(path.name)
        if match is None or (int(match["pid"]) != os.getpid() and is_alive(int(match["pid"]))):
            continue
        try:
            _remove(path)
        except OSError as reason:
            raise _failed("removed", path, reason) from reason
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


def _discard(path: Path) -> None:
    """Remove a partial file; if that fails too, `sweep` removes it at the next start."""
    with contextlib.suppress(OSError):
        _remove(path)


def _failed(done: str, path: Path, reason: OSError, n_bytes: int | None = None) -> StorageError:
    """Return an error that names the path, the reason and the free space."""
    code = errno.errorcode.get(reason.errno or 0, "no code")
    need = "" if n_bytes is None else f", and {n_bytes:,} are needed"
    return storage_error(
        f"{path} must be {done} in full",
        reason,
        but=f"that failed: {reason.strerror or reason} ({code}); "
        f"{_free_space(path.parent)} free there{need}",
        fix="Nothing was left half-written. Make room, or choose another folder.",
    )


def _free_space(folder: Path) -> str:
    try:
        status = os.statvfs(folder)
    except OSError:
        return "an unknown number of bytes is"
    return f"{status.f_bavail * status.f_frsize:,} bytes are"
