"""Name, list and order the checkpoint folders of a run."""

import re
from pathlib import Path

_NAME = re.compile(r"step-[0-9]{8,}")


def checkpoint_name(step: int) -> str:
    """Return the folder name of a checkpoint.

    Example:
        >>> checkpoint_name(1200)
        'step-00001200'
    """
    return f"step-{step:08d}"


def checkpoint_step(path: Path) -> int:
    """Return the step of a checkpoint folder from `list_checkpoints`."""
    return int(path.name.removeprefix("step-"))


def list_checkpoints(folder: Path) -> list[Path]:
    """List the committed checkpoints in a folder, by step, without checking them for damage.

    Folders with other names belong to the user. Links are listed too, so that the reader can reject
    them by name.
    """
    paths = (path for path in folder.glob("step-*") if _NAME.fullmatch(path.name))
    return sorted((path for path in paths if path.is_dir()), key=checkpoint_step)
