"""Files and folders on disk: complete or absent, checked when read, never executed.

Nothing here imports torch before the first use of `Memory`, `pack_tensors`, `save_tensors`,
`load_tensors`, `flatten_state` or `restore_state`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from afina.storage.background import Background
from afina.storage.bounded_json import read_json, why_too_large
from afina.storage.checkpoint_folders import checkpoint_name, checkpoint_step, list_checkpoints
from afina.storage.commit import (
    commit_folder,
    make_folder,
    remove_folder,
    sweep,
    sync_file,
    write_file,
)
from afina.storage.lock import lock_folder
from afina.storage.manifest import MANIFEST
from afina.storage.numbered import claim_folder, is_numbered, list_numbered
from afina.storage.os_errors import storage_error
from afina.storage.verify import verify_file, verify_folder

if TYPE_CHECKING:
    from afina.storage.tensors import Memory, load_tensors, pack_tensors, save_tensors
    from afina.storage.tree import flatten_state, restore_state

__all__ = [
    "MANIFEST",
    "Background",
    "Memory",
    "checkpoint_name",
    "checkpoint_step",
    "claim_folder",
    "commit_folder",
    "flatten_state",
    "is_numbered",
    "list_checkpoints",
    "list_numbered",
    "load_tensors",
    "lock_folder",
    "make_folder",
    "pack_tensors",
    "read_json",
    "remove_folder",
    "restore_state",
    "save_tensors",
    "storage_error",
    "sweep",
    "sync_file",
    "verify_file",
    "verify_folder",
    "why_too_large",
    "write_file",
]

_HOME = {
    "Memory": "afina.storage.tensors",
    "flatten_state": "afina.storage.tree",
    "load_tensors": "afina.storage.tensors",
    "pack_tensors": "afina.storage.tensors",
    "restore_state": "afina.storage.tree",
    "save_tensors": "afina.storage.tensors",
}


def __getattr__(name: str) -> Any:
    """Import names that need torch on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'afina.storage' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
