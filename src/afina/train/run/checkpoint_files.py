"""The files of a checkpoint, copied out of a run that goes on."""

import json
from collections.abc import Mapping
from typing import Any

from afina.errors import CheckpointError
from afina.storage import Memory, flatten_state, pack_tensors, why_too_large

Files = dict[str, bytes | memoryview]
STATE = "state.json"


class PackedTrees:
    """The files of a checkpoint, in memory that is kept from one to the next."""

    def __init__(self) -> None:
        self._memory: dict[str, Memory] = {}
        self._best: tuple[Any, memoryview, Any] | None = None

    def pack(self, trees: Mapping[str, Any], head: dict[str, Any]) -> Files:
        """Copy every tree; give the content of each file.

        Raises:
            CheckpointError: a tree, or `head`, holds what cannot be stored.
        """
        from afina.records.state_json import (  # noqa: PLC0415 - pydantic takes a fifth of a second
            CheckpointState,
        )

        files: Files = {}
        forms = {}
        for name, tree in trees.items():
            files[f"{name}.safetensors"], forms[name] = self._pack(name, tree)
        text = json.dumps(vars(CheckpointState(**head, trees=forms))).encode()
        large = why_too_large(text)
        if large is not None:
            raise CheckpointError(
                "What is beside the tensors of a checkpoint must be small enough to be read back, "
                f"however: {large}. Keep long lists, such as a position in the data, in tensors."
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
