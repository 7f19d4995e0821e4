"""Files and folders on disk: complete or absent, checked when read, never executed.

Nothing here imports torch before the first use of `Memory`, `pack_tensors`, `save_tensors`,
`load_tensors`, `flatten_state` or `restore_state`.
"""

from typing import TYPE_CHECKING

from afina.lazy import import_on_use
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
else:
    __getattr__ = import_on_use(
        __name__,
        tensors=["Memory", "load_tensors", "pack_tensors", "save_tensors"],
        tree=["flatten_state", "restore_state"],
    )

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
