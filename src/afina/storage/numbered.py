"""Folders for runs with the same `run_dir`: the folder itself, then `0001`, ... inside it."""

import os
import re
from pathlib import Path

from afina.errors import StorageError
from afina.storage.os_errors import storage_error

_NAME = re.compile(r"[0-9]{4,}")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MUST = "run_dir must be a writable folder"


def claim_folder(goal: Path) -> tuple[Path, list[Path]]:
    """Make a folder that no other process or thread gets: `goal` if it is free, or a numbered one.

    A folder is free if it does not exist or is empty. The file `.lock` marks it as taken.

    Returns:
        The folder, and the folders that are new, the deepest first.

    Raises:
        StorageError: a folder cannot be made or written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     goal = Path(folder) / "run"
        ...     [str(claim_folder(goal)[0].relative_to(folder)) for _ in range(3)]
        ['run', 'run/0001', 'run/0002']
    """
    folder, number = goal, None
    while True:
        new_folders = _claim(folder)
        if new_folders is not None:
            return folder, new_folders
        number = _last_number(goal) + 1 if number is None else number + 1
        folder = goal / f"{number:04d}"


def list_numbered(goal: Path) -> list[Path]:
    """List the numbered folders inside a folder, in order.

    Folders with other names belong to the user.
    """
    try:
        paths = [path for path in goal.iterdir() if is_numbered(path)]
    except OSError:
        return []
    return sorted(paths, key=lambda path: int(path.name))


def is_numbered(path: Path) -> bool:
    """Return whether a path is a folder with a number for its name."""
    return _NAME.fullmatch(path.name) is not None and path.is_dir()


def _claim(folder: Path) -> list[Path] | None:
    """Make a folder, and mark it as taken; None if another fit has taken it."""
    new_folders = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            return None
        os.close(os.open(folder / ".lock", _NEW_FILE, 0o666))
    except FileExistsError:
        if folder.is_dir():
            return None
        raise StorageError(
            _MUST, but=f"{folder} is a file", fix="Choose another run_dir."
        ) from None
    except FileNotFoundError:  # a fit that failed has removed it meanwhile
        return None
    except OSError as reason:
        raise storage_error(
            _MUST, reason, but=f"{folder} is not: {reason.strerror}", fix="Choose another run_dir."
        ) from reason
    return new_folders


def _last_number(goal: Path) -> int:
    return max((int(path.name) for path in list_numbered(goal)), default=0)
