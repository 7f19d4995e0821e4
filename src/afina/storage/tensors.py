"""Convert tensors to bytes and back, bit for bit, in the safetensors format.

The bytes are the same as those of the safetensors library. afina writes them itself because the
library always allocates memory: afina packs every checkpoint into the same memory, and copying into
memory that was written before takes a tenth of the time of copying into fresh pages. afina reads
them itself because the library accepts any header below 100 MB, which can take half a minute and
gigabytes. The whole header is checked against the length of the data and against small limits
before any tensor is created.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from afina.errors import CheckpointError
from afina.storage import bounded_json
from afina.storage.bounded_json import read_json, why_too_large
from afina.storage.manifest import shown

MAX_HEADER_BYTES = bounded_json.MAX_BYTES
MAX_DIMENSIONS = 64

# In the library's order, the widest types first, so that all tensors are aligned.
_DTYPES = {
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
    "F32": torch.float32,
    "U32": torch.uint32,
    "I32": torch.int32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_RANKS = {dtype: rank for rank, dtype in enumerate(_CODES)}


@dataclass(frozen=True)
class Span:
    """The position of a tensor's bytes, counted from the end of the header, and their meaning."""

    start: int
    stop: int
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]


class Memory:
    """A buffer for repeated use, because the first write to a memory page is the expensive one."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def take(self, n_bytes: int) -> memoryview:
        """Return the first `n_bytes` of the buffer, which still hold those of its last use."""
        if len(self._bytes) < n_bytes:
            self._bytes = bytearray(n_bytes)
        return memoryview(self._bytes)[:n_bytes]


def save_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Encode tensors by name; views and tied tensors are each stored in full.

    Raises:
        CheckpointError: a tensor is not dense, its dtype cannot be stored, or there are more
            tensors than can be read back.

    Example:
        >>> load_tensors(save_tensors({"a": torch.arange(3)}), source="memory")["a"]
        tensor([0, 1, 2])
    """
    return bytes(pack_tensors(tensors, Memory()))


def pack_tensors(tensors: Mapping[str, Tensor], memory: Memory) -> memoryview:
    """Encode tensors by name, as `save_tensors` does, but copy each one once, into `memory`.

    Returns:
        The file's bytes; the next use of `memory` changes them.

    Raises:
        CheckpointError: as in `save_tensors`.
    """
    spans = _lay_out(tensors)
    header = _write_header(spans)
    data = memory.take(len(header) + (spans[-1].stop if spans else 0))
    data[: len(header)] = header
    flat = torch.frombuffer(data, dtype=torch.uint8)[len(header) :]
    for span in spans:
        goal = flat[span.start : span.stop].view(span.dtype).view(span.shape)
        goal.copy_(tensors[span.name].detach())  # sync: waits for the device
    return data


def load_tensors(data: bytes, *, source: str) -> dict[str, Tensor]:
    """Decode the bytes of `save_tensors`, without trusting them.

    Args:
        data: a whole safetensors file.
        source: origin of the bytes, for messages.

    Returns:
        Tensors on the CPU that own their memory.

    Raises:
        CheckpointError: the bytes are not a safetensors file within the limits of this module.
    """
    try:
        first, spans = _read_header(data)
        return {span.name: _copied(data, first, span) for span in spans}
    except _HeaderError as reason:
        raise _error(source, str(reason)) from None


class _HeaderError(Exception):
    """An error whose message is a clause that says what is wrong with a header."""


def _check_storable(name: str, tensor: Tensor) -> None:
    if name == "__metadata__":
        raise CheckpointError("A tensor must not be named __metadata__", fix="Rename it.")
    if tensor.layout != torch.strided or tensor.device.type == "meta" or tensor.is_quantized:
        raise CheckpointError(
            "A stored tensor must be dense and have values",
            but=f"{name!r} is {tensor.layout} on {tensor.device}",
            fix="Convert it to a dense tensor.",
        )
    if tensor.dtype not in _CODES:
        raise CheckpointError(
            "A stored tensor must have a dtype that safetensors supports",
            but=f"{name!r} is {tensor.dtype}",
            fix="Convert it to another dtype.",
        )


def _lay_out(tensors: Mapping[str, Tensor]) -> list[Span]:
    """Assign a place to each tensor: the widest dtypes first, then by name."""
    for name, tensor in tensors.items():
        _check_storable(name, tensor)
    spans: list[Span] = []
    start = 0
    for name in sorted(tensors, key=lambda name: (_RANKS[tensors[name].dtype], name)):
        tensor = tensors[name]
        stop = start + tensor.numel() * tensor.dtype.itemsize
        spans.append(Span(start, stop, name, tensor.dtype, tuple(tensor.shape)))
        start = stop
    return spans


def _write_header(spans: list[Span]) -> bytes:
    """Encode a header: its length and its JSON, padded to 8 bytes so that tensors are aligned."""
    entries = {
        span.name: {
            "dtype": _CODES[span.dtype],
            "shape": span.shape,
            "data_offsets": (span.start, span.stop),
        }
        for span in spans
    }
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if large := why_too_large(text):
        raise CheckpointError(
            "The header of a file of tensors must be small enough to be read back",
            but=f"for {len(spans):,} tensors, {large}",
            fix="Keep the state in fewer tensors, or shorten their names.",
        )
    return len(text).to_bytes(8, "little") + text


def _read_header(data: bytes) -> tuple[int, list[Span]]:
    """Check a header completely; return the offset of the tensors, and the span of each tensor.

    Layout: 8 bytes n (little endian), n bytes of JSON, then the tensors without gaps or overlaps.
    """
    n_header = int.from_bytes(data[:8], "little")
    if len(data) < 8 or n_header > len(data) - 8:
        raise _HeaderError("it is shorter than its header says")
    if n_header > MAX_HEADER_BYTES:
        raise _HeaderError(f"its header has {n_header:,} bytes; the limit is {MAX_HEADER_BYTES:,}")
    try:
        header = read_json(data[8 : 8 + n_header], on_object=_no_repeats)
    except ValueError as reason:
        raise _HeaderError(f"its header is invalid: {reason}") from None
    if not isinstance(header, dict):
        raise _HeaderError("its header is not a table of tensors")
    header.pop("__metadata__", None)  # only text, which afina does not use
    spans = sorted(
        (_span(name, entry) for name, entry in header.items()),
        key=lambda span: (span.start, span.stop, span.name),
    )
    end = 0
    for span in spans:
        if span.start != end:
            raise _HeaderError(f"{shown(span.name)} overlaps another tensor or leaves a gap")
        end = span.stop
    if end != len(data) - 8 - n_header:
        raise _HeaderError(
            f"its header describes {end:,} bytes, but there are {len(data) - 8 - n_header:,}"
        )
    return 8 + n_header, spans


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise _HeaderError("its header repeats a name")
    return entries


def _span(name: str, entry: Any) -> Span:
    """Check one entry of a header."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _HeaderError(f"{shown(name)} does not have exactly dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in _DTYPES:
        raise _HeaderError(f"{shown(name)} has the unknown dtype {shown(code)}")
    if not _are_counts(shape) or len(shape) > MAX_DIMENSIONS:
        raise _HeaderError(f"{shown(name)} has an impossible shape")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise _HeaderError(f"{shown(name)} has no pair of offsets")
    # torch multiplies the sizes even for an empty tensor:
    if math.prod(max(size, 1) for size in shape) >= 2**60:
        raise _HeaderError(f"{shown(name)} has a shape that is too large")
    dtype = _DTYPES[code]
    if offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
        raise _HeaderError(f"{shown(name)} has a length that does not match its shape and dtype")
    return Span(offsets[0], offsets[1], name, dtype, tuple(shape))


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(n) is int and 0 <= n < 2**60 for n in values)


def _copied(data: bytes, first: int, span: Span) -> Tensor:
    """Copy a tensor out: a view would keep all bytes alive, and might not be aligned."""
    tensor = torch.empty(span.shape, dtype=span.dtype)
    if span.stop == span.start:
        return tensor
    flat = tensor.view(-1).view(torch.uint8)
    flat.numpy()[:] = np.frombuffer(data, np.uint8, len(flat), first + span.start)
    if span.dtype == torch.bool and int(flat.max()) > 1:
        raise _HeaderError(f"{shown(span.name)} holds booleans but has bytes other than 0 and 1")
    return tensor


def _error(source: str, what: str) -> CheckpointError:
    return CheckpointError(
        f"{source} must be a safetensors file",
        but=what,
        fix="Use another checkpoint, or copy this one again from an undamaged original.",
    )
