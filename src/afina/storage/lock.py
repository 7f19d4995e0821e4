"""Lock a folder, so that it has only one writer."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from afina.errors import LockedError, StorageError
from afina.storage.os_errors import storage_error

_N_ATTEMPTS = 40
_PAUSE_S = 0.005


@contextlib.contextmanager
def lock_folder(path: Path) -> Iterator[None]:
    """Lock a folder for this process; the lock ends with the process, even if it is killed.

    It is a kernel lock: `flock` on the file `.lock` in the folder, which holds the process number
        only for error messages. The file is never removed: otherwise, two processes could each hold
        a lock on a file with this name.

    Raises:
        LockedError: another process, or this one, holds the lock.
        StorageError: the folder is missing, read-only, or on a file system without locks.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, lock_folder(Path(folder)):
        ...     print(int((Path(folder) / ".lock").read_text()) == os.getpid())
        True
    """
    held = [_take(path)]
    # A forked child shares the lock, and would keep it if it outlived a killed parent.
    os.register_at_fork(after_in_child=lambda: _close_all(held))
    try:
        yield
    finally:
        for descriptor in held:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
        _close_all(held)


def _take(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path / ".lock", flags, 0o666)
    except OSError as reason:
        raise _cannot_lock(path, reason) from reason
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        holder = _holder(descriptor)
        os.close(descriptor)
        raise LockedError(
            "A run folder must have only one writer",
            but=f"{path} is in use by {holder}",
            fix="Wait for it to end, stop it, or use another folder.",
        ) from None
    except OSError as reason:
        os.close(descriptor)
        raise _cannot_lock(path, reason) from reason
    return descriptor


def _holder(descriptor: int) -> str:
    """Describe the holder of the lock; a process that has only just taken it has no number yet."""
    for _ in range(_N_ATTEMPTS):
        written = os.pread(descriptor, 20, 0).strip()
        if written.isdigit() and is_alive(int(written)):
            return f"process {int(written)}"
        time.sleep(_PAUSE_S)
    return "a process with an unknown number (on another machine or in a container)"


def is_alive(pid: int) -> bool:
    """Return whether a process with this number is running."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return pid > 0


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _cannot_lock(path: Path, reason: OSError) -> StorageError:
    return storage_error(
        "A run folder must be lockable",
        reason,
        but=f"{path} could not be locked: {reason.strerror}",
        fix="Choose a writable folder on a file system that supports locks.",
    )
