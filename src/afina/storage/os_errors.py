"""Turn errors of the operating system into afina's errors."""

from afina.errors import StorageError


def storage_error(
    must: str, reason: OSError, *, but: str | None = None, fix: str | None = None
) -> StorageError:
    """Return a StorageError that keeps the errno of the system's error.

    Example:
        >>> storage_error("a must be writable", OSError(28, "No space left"), but="it is not").errno
        28
    """
    error = StorageError(must, but=but, fix=fix)
    error.errno = reason.errno
    return error
