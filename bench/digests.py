"""sha256 digests of the results of a run, by part and by item within a part."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Parts = dict[str, dict[str, str]]
"""Digests by part of a case (weights, metrics, predictions, files) and by item in it."""

FIELDS = (
    "step",
    "epoch",
    "loss",
    "lr",
    "grad_norm",
    "metrics",
    "best",
    "extended",
    "reason",
    "why",
    "monitor",
    "best_step",
    "best_epoch",
)
"""The fields of the records of a run, of any class; the path of a checkpoint is not compared."""


def digest_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_json(content: Any) -> str:
    """Digest plain values; a float by the text from which the same float is read."""
    return digest_bytes(json.dumps(content, sort_keys=True).encode())


def digest_array(array: NDArray[Any]) -> str:
    """Digest type, shape and bytes; text and objects by value."""
    if array.dtype.kind in "OUT":
        return digest_json([str(array.shape), *map(str, array.ravel())])
    head = f"{array.dtype} {array.shape} ".encode()
    return digest_bytes(head + np.ascontiguousarray(array).tobytes())


def digest_tensors(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Digest each tensor by name: type, shape and bytes."""
    return {name: _digest_tensor(tensor.detach()) for name, tensor in tensors.items()}


def records(events: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the contents of the records of a run as plain values."""
    return [_record(event) for event in events]


def _record(event: Any) -> dict[str, Any]:
    said = {name: getattr(event, name) for name in FIELDS if hasattr(event, name)}
    said["kind"] = type(event).__name__
    return {k: dict(v) if isinstance(v, Mapping) else v for k, v in said.items()}


def _digest_tensor(tensor: Tensor) -> str:
    head = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
    flat = tensor.contiguous().reshape(-1)
    return digest_bytes(head + flat.view(torch.uint8).numpy().tobytes())
