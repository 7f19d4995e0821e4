"""Read the JSON files of a run folder; every complaint names the file and the key.

Numbers that are not finite come back as None: a report shows them as such and draws around them.
"""

import json
import math
from pathlib import Path
from typing import Any

from afina.errors import CheckpointError

Record = dict[str, Any]


def read_text(path: Path) -> str | None:
    """Read a text file of a run, or None where there is none.

    Raises:
        CheckpointError: the file is there but cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as reason:
        raise damaged(path, str(reason)) from reason


def read_record(path: Path) -> Record | None:
    """Read a JSON object from a file of a run, or None where there is no file.

    Raises:
        CheckpointError: the file is there but does not hold one JSON object.
    """
    text = read_text(path)
    if text is None:
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise damaged(path, str(reason)) from reason
    if not isinstance(record, dict):
        raise damaged(path, f"it holds a {type(record).__name__}, not an object")
    return record


def damaged(path: Path, why: str) -> CheckpointError:
    """Make the error for a file that is not what afina wrote."""
    return CheckpointError(
        f"A file of a run must be as afina wrote it, however: {path}: {why}. "
        "Restore the file, or fit again into a new run folder."
    )


def as_number(value: Any, key: str, path: Path) -> float | None:
    """Check that a value is a number or null; None where it is not finite."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise damaged(path, f"{key} must be a number, not {value!r:.60}")
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_count(value: Any, key: str, path: Path) -> int:
    """Check that a value is a whole number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise damaged(path, f"{key} must be a whole number of at least 0, not {value!r:.60}")
    return value


def as_text(value: Any, key: str, path: Path) -> str:
    """Check that a value is a string."""
    if not isinstance(value, str):
        raise damaged(path, f"{key} must be a string, not {value!r:.60}")
    return value


def as_list(value: Any, key: str, path: Path) -> list[Any]:
    """Check that a value is a list."""
    if not isinstance(value, list):
        raise damaged(path, f"{key} must be a list, not {value!r:.60}")
    return value


def as_record(value: Any, key: str, path: Path) -> Record:
    """Check that a value is an object; null counts as an empty one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise damaged(path, f"{key} must be an object, not {value!r:.60}")
    return value
