"""Read a committed folder without trusting it: check every byte, and name a faulty file.

The actual content of the folder bounds time and memory: sizes are taken from the open file before
it is read, links and devices are not opened, and each file is read once, so that the bytes checked
are the bytes returned.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from afina.errors import CheckpointError
from afina.storage.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    Entry,
    describe,
    read_manifest,
    shown,
)

# O_NONBLOCK: otherwise, opening a named pipe would wait for its writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def verify_folder(path: Path) -> dict[str, bytes]:
    """Read every file of a committed folder and check it against the manifest.

    Returns:
        content by file name, without the manifest.

    Raises:
        CheckpointError: a file is damaged, missing, unexpected, or not a plain file; or the
            manifest is missing or not afina's. The message names the file and the fault.
    """
    with _opened(path) as folder:
        entries = _entries(path, folder)
        _check_memory(path, entries)
        return {name: _checked(path, folder, name, entry) for name, entry in entries.items()}


def verify_file(path: Path, name: str) -> bytes:
    """Read one file of a committed folder and check it against the manifest.

    Raises:
        CheckpointError: as in `verify_folder`, about this file or the manifest.
    """
    with _opened(path) as folder:
        entries = _entries(path, folder)
        if name not in entries:
            raise _error(path, f"{shown(name)} is missing")
        return _checked(path, folder, name, entries[name])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as reason:
        raise _error(path, f"opening the folder failed: {reason.strerror}") from reason
    try:
        yield folder
    finally:
        os.close(folder)


def _entries(path: Path, folder: int) -> dict[str, Entry]:
    raw = _read(path, folder, MANIFEST, None)
    try:
        entries = read_manifest(raw)
    except ValueError as reason:
        raise _error(path, f"{MANIFEST} cannot be trusted: {reason}") from None
    _check_names(path, folder, entries)
    return entries


def _check_names(path: Path, folder: int, entries: dict[str, Entry]) -> None:
    with os.scandir(folder) as items:  # stops at the first unexpected name
        for item in items:
            if item.name != MANIFEST and item.name not in entries:
                raise _error(
                    path, f"there is a file that is not in its manifest: {shown(item.name)}"
                )


def _check_memory(path: Path, entries: dict[str, Entry]) -> None:
    """Reject files that do not fit in memory: a huge sparse file costs its author nothing."""
    need = sum(entry.size for entry in entries.values())
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if need > have:
        raise _error(
            path, f"the files have {need:,} bytes, but this machine's memory has only {have:,}"
        )


def _checked(path: Path, folder: int, name: str, entry: Entry) -> bytes:
    data = _read(path, folder, name, entry.size)
    actual = describe(data)
    if actual.size != entry.size:
        raise _error(path, f"{shown(name)} changed while it was read")
    if actual.sha256 != entry.sha256:
        raise _error(
            path,
            f"{shown(name)} is damaged: its sha256 is {actual.sha256[:12]}..., "
            f"but the manifest says {shown(entry.sha256[:12])}",
        )
    return data


def _read(path: Path, folder: int, name: str, size: int | None) -> bytes:
    """Read one plain file of a known size, or the manifest, which only has a size limit."""
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise _error(path, f"{shown(name)} is a link, a folder or a device, not a plain file")
        descriptor = os.open(name, _READ, dir_fd=folder)
    except FileNotFoundError:
        raise _error(path, f"{shown(name)} is missing") from None
    except OSError as reason:
        raise _error(path, f"{shown(name)} cannot be opened: {reason.strerror}") from None
    try:
        _check_size(path, name, os.fstat(descriptor), size)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            # One more byte shows that the file is still growing.
            return file.read((MAX_MANIFEST_BYTES if size is None else size) + 1)
    except (OSError, MemoryError) as reason:
        why = "does not fit in memory" if isinstance(reason, MemoryError) else f"fails: {reason}"
        raise _error(path, f"reading {shown(name)} {why}") from None
    finally:
        os.close(descriptor)


def _check_size(path: Path, name: str, status: os.stat_result, size: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _error(path, f"{shown(name)} is not a plain file")
    if size is not None and status.st_size != size:
        raise _error(
            path, f"{shown(name)} has {status.st_size:,} bytes, but the manifest says {size:,}"
        )
    if size is None and status.st_size > MAX_MANIFEST_BYTES:
        raise _error(
            path, f"{name} has {status.st_size:,} bytes; the limit is {MAX_MANIFEST_BYTES:,}"
        )


def _error(path: Path, what: str) -> CheckpointError:
    return CheckpointError(
        "A saved folder must be complete and unchanged",
        but=f"in {path}, {what}",
        fix="Use another checkpoint, or copy this one again from an undamaged original.",
    )
