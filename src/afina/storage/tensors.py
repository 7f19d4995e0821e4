"""Tensors to bytes and back, bit for bit, in the safetensors format.

The library checks offsets but reads a header of any size below 100 MB, which can cost half a
minute and gigabytes. So everything the header says is checked here first, against the length of
the data and against small limits, and only then the library reads the file.
"""

import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from afina.errors import CheckpointError
from afina.storage.manifest import shown

MAX_HEADER_BYTES = 4 * 1000 * 1000
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 64

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}
_KNOWN = frozenset(_DTYPES.values())


def save_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Encode tensors by name. Views and tied tensors are each stored whole.

    Raises:
        CheckpointError: a tensor is not dense or of a dtype that cannot be stored, or there are
            more than can be read back.

    Example:
        >>> load_tensors(save_tensors({"a": torch.arange(3)}), source="memory")["a"]
        tensor([0, 1, 2])
    """
    plain: dict[str, Tensor] = {}
    memory: set[int] = set()
    for name, tensor in tensors.items():
        _check_storable(name, tensor)
        dense = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
        pointer = dense.untyped_storage().data_ptr()
        if pointer in memory:  # the library refuses tensors that share memory
            dense = dense.clone()
        memory.add(pointer)
        plain[name] = dense
    data = safetensors.torch.save(plain)
    n_header = int.from_bytes(data[:8], "little")
    if len(plain) > MAX_TENSORS or n_header > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"A file of tensors must have at most {MAX_TENSORS:,} tensors and "
            f"{MAX_HEADER_BYTES:,} bytes of names and shapes, however: {len(plain):,} tensors, "
            f"{n_header:,} bytes. Keep the state in fewer tensors, or shorten their names."
        )
    return data


def load_tensors(data: bytes, *, source: str) -> dict[str, Tensor]:
    """Decode what `save_tensors` encoded, from bytes that anybody may have written.

    Args:
        data: a whole safetensors file.
        source: where the bytes are from, for messages.

    Returns:
        tensors on the CPU that own their memory.

    Raises:
        CheckpointError: the bytes are not a safetensors file within the limits of this module.
    """
    try:
        _check_header(data)
        loaded = safetensors.torch.load(data)
    except _HeaderError as reason:
        raise _error(source, str(reason)) from None
    except Exception as reason:  # whatever the library finds beyond our own check
        raise _error(source, f"{type(reason).__name__}: {shown(str(reason))}") from reason
    tensors: dict[str, Tensor] = {}
    for name in list(loaded):
        tensor = loaded.pop(name)
        if tensor.dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
            raise _error(source, f"{shown(name)} is of booleans and has bytes other than 0 and 1")
        # clone: torch's own alignment, on which the last bit of a matrix product may depend
        tensors[name] = tensor.clone()
    return tensors


class _HeaderError(Exception):
    """The part of a sentence that says what is wrong with a header."""


def _check_storable(name: str, tensor: Tensor) -> None:
    if name == "__metadata__":
        raise CheckpointError("A tensor must not be named __metadata__; rename it.")
    if tensor.layout != torch.strided or tensor.device.type == "meta" or tensor.is_quantized:
        raise CheckpointError(
            f"A stored tensor must be dense and have values, however: {name!r} is "
            f"{tensor.layout} on {tensor.device}. Turn it into a dense tensor."
        )
    if tensor.dtype not in _KNOWN:
        raise CheckpointError(
            f"A stored tensor must have a dtype of safetensors, however: {name!r} is "
            f"{tensor.dtype}. Turn it into another dtype."
        )


def _check_header(data: bytes) -> None:
    """Refuse whatever is not a consistent header of bounded size.

    Layout: 8 bytes n (little endian), n bytes of JSON, then the tensors without gap or overlap.
    """
    n_header = int.from_bytes(data[:8], "little")
    if len(data) < 8 or n_header > len(data) - 8:
        raise _HeaderError("it is shorter than its header says")
    if n_header > MAX_HEADER_BYTES:
        raise _HeaderError(f"its header of {n_header:,} bytes is over {MAX_HEADER_BYTES:,}")
    try:
        # Not json.loads(bytes), which guesses the encoding: the format is UTF-8.
        header = json.loads(data[8 : 8 + n_header].decode("utf-8"), object_pairs_hook=_no_repeats)
    except (ValueError, RecursionError) as reason:
        raise _HeaderError(f"its header is not JSON ({type(reason).__name__})") from None
    if not isinstance(header, dict):
        raise _HeaderError("its header is not a table of tensors")
    header.pop("__metadata__", None)  # texts only, and nobody here reads them
    if len(header) > MAX_TENSORS:
        raise _HeaderError(f"its {len(header):,} tensors are over {MAX_TENSORS:,}")
    spans = sorted(_span(name, entry) for name, entry in header.items())
    end = 0
    for start, stop, name in spans:
        if start != end:
            raise _HeaderError(f"{shown(name)} overlaps another tensor or leaves a gap")
        end = stop
    if end != len(data) - 8 - n_header:
        raise _HeaderError(
            f"its header describes {end:,} bytes, it has {len(data) - 8 - n_header:,}"
        )


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _HeaderError("its header has a name twice")
    return found


def _span(name: str, entry: Any) -> tuple[int, int, str]:
    """Check one entry; return where its bytes start and stop, and its name."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _HeaderError(f"{shown(name)} has no entry of dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _HeaderError(f"{shown(name)} has the dtype {shown(dtype)}")
    if not _are_counts(shape) or len(shape) > MAX_DIMENSIONS:
        raise _HeaderError(f"{shown(name)} has no shape that can be")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise _HeaderError(f"{shown(name)} has no pair of offsets")
    n_values, n_strides = 1, 1
    for size in shape:
        n_values *= size
        n_strides *= max(size, 1)  # torch multiplies these even where there is no value
        if n_strides >= 2**60:
            raise _HeaderError(f"{shown(name)} has too large a shape")
    if offsets[1] - offsets[0] != n_values * _DTYPES[dtype].itemsize:
        raise _HeaderError(f"{shown(name)} has other bytes than its shape and dtype need")
    return offsets[0], offsets[1], name


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and 0 <= n < 2**60 for n in values)


def _error(source: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{source} must be a safetensors file, however: {what}. "
        "Use another checkpoint, or copy this one again from where it is whole."
    )
