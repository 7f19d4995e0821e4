"""Copy the files of a checkpoint while the run continues."""

import json
from collections.abc import Mapping
from typing import Any

from afina.errors import CheckpointError
from afina.storage import Memory, flatten_state, pack_tensors, why_too_large

Files = dict[str, bytes | memoryview]
STATE = "state.json"


class PackedTrees:
    """Pack the files of checkpoints, one after another, into the same memory."""

    def __init__(self) -> None:
        self._memory: dict[str, Memory] = {}
        self._best: tuple[Any, memoryview, Any] | None = None

    def pack(self, trees: Mapping[str, Any], head: dict[str, Any]) -> Files:
        """Copy every tree; return the content of each file by its name.

        Args:
            trees: nested tensors by name.
            head: values for `state.json`, in addition to the structure of the trees.

        Raises:
            CheckpointError: a tree or `head` holds something that cannot be stored.
        """
        from afina.records.state_json import (  # noqa: PLC0415 - pydantic takes a fifth of a second
            CheckpointState,
        )

        files: Files = {}
        forms = {}
        for name, tree in trees.items():
            files[f"{name}.safetensors"], forms[name] = self._pack(name, tree)
        text = json.dumps(vars(CheckpointState(**head, trees=forms))).encode()
        too_large = why_too_large(text)
        if too_large is not None:
            raise CheckpointError(
                "a checkpoint's state.json must be small enough to be read back",
                but=too_large,
                fix="Keep long lists, such as a position in the data, in tensors.",
            )
        files[STATE] = text
        return files

    def _pack(self, name: str, tree: Any) -> tuple[memoryview, Any]:
        if name == "best" and self._best is not None and self._best[0] is tree:
            return self._best[1:]
        if name == "best":
            self._best = None  # its bytes are about to change
        tensors, form = flatten_state(tree)
        data = pack_tensors(tensors, self._memory.setdefault(name, Memory()))
        if name == "best":
            self._best = tree, data, form
        return data, form
