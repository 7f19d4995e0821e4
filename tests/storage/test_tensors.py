"""Tensors come back bit for bit, and hostile files do not come in."""

import json
import pickle
import time

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import CheckpointError
from afina.storage import Memory, bounded_json, load_tensors, pack_tensors, save_tensors
from afina.storage.tensors import _DTYPES, MAX_HEADER_BYTES

DTYPES = list(_DTYPES.values())


def bits(tensor: torch.Tensor) -> tuple[torch.dtype, torch.Size, bytes]:
    """Return what must be equal for two tensors to be the same bit for bit."""
    flat = tensor.contiguous().reshape(-1).view(torch.uint8)
    return tensor.dtype, tensor.shape, bytes(flat.tolist())


def there_and_back(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Save to bytes and load again."""
    return load_tensors(save_tensors(tensors), source="memory")


def file_of(header: object, data: bytes = b"") -> bytes:
    """Build a safetensors file around a header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str, shape: list[int], start: int, stop: int) -> dict[str, object]:
    """Describe one tensor, right or wrong."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3), st.binary(min_size=512))
def test_every_dtype_and_shape_comes_back_bit_for_bit(
    dtype: torch.dtype, shape: list[int], noise: bytes
) -> None:
    """Any bits of any dtype (NaN payloads too) and shape (empty and 0-dim too) come back."""
    n_bytes = torch.Size(shape).numel() * dtype.itemsize
    raw = torch.tensor(list(noise[:n_bytes]), dtype=torch.uint8)
    tensor = (raw % 2).bool() if dtype == torch.bool else raw.view(dtype)
    tensor = tensor.reshape(shape)

    assert bits(tensor) == bits(there_and_back({"t": tensor})["t"])


NAMES = st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda n: n != "__metadata__")


@given(st.dictionaries(NAMES, st.tuples(st.sampled_from(DTYPES), st.integers(0, 3)), max_size=6))
def test_the_bytes_are_those_of_the_safetensors_library(
    kinds: dict[str, tuple[torch.dtype, int]],
) -> None:
    """Whatever names, dtypes and shapes: byte for byte what the library writes, and it reads it."""
    tensors = {
        name: torch.arange(2 * n).to(dtype).reshape(2, n) for name, (dtype, n) in kinds.items()
    }
    data = save_tensors(tensors)
    read = safetensors.torch.load(data)

    assert data == safetensors.torch.save(tensors)
    assert {name: bits(t) for name, t in tensors.items()} == {n: bits(t) for n, t in read.items()}


def test_memory_is_used_again() -> None:
    """The same memory packed twice holds the second state only, also where it is smaller."""
    memory = Memory()
    first = pack_tensors({"a": torch.ones(1000), "b": torch.arange(5)}, memory)
    size, address = len(first), torch.frombuffer(first, dtype=torch.uint8).data_ptr()
    for tensors in ({"a": torch.zeros(1000), "b": torch.arange(5)}, {"a": torch.zeros(3)}, {}):
        data = pack_tensors(tensors, memory)

        assert bytes(data) == save_tensors(tensors)
        assert torch.frombuffer(data, dtype=torch.uint8).data_ptr() == address
    assert len(memory.take(size)) == size


def test_views_come_back_as_they_look() -> None:
    """Transposed, strided, expanded, conjugated and shared tensors come back as their values."""
    table = torch.randn(4, 6)
    tensors = {
        "whole": table,
        "same": table,
        "turned": table.t(),
        "part": table[1:, ::2],
        "spread": table[:, :1].expand(4, 9),
        "conjugate": torch.randn(3, dtype=torch.complex64).conj(),
        "gradient": table.clone().requires_grad_(),
        "parameter": torch.nn.Parameter(table),
    }

    assert {name: bits(t.detach().resolve_conj()) for name, t in tensors.items()} == {
        name: bits(t) for name, t in there_and_back(tensors).items()
    }


def test_loaded_tensors_own_their_memory() -> None:
    """A loaded tensor can be changed without changing the bytes or another tensor."""
    data = save_tensors({"a": torch.zeros(8), "b": torch.zeros(8)})
    before = bytes(data)
    loaded = load_tensors(data, source="memory")
    loaded["a"].add_(1)

    assert before == data
    assert loaded["b"].sum() == 0
    assert {0} == {t.data_ptr() % 64 for t in loaded.values()}


def test_the_same_tensors_give_the_same_bytes() -> None:
    """Saving is a function of the values, whatever the order of the names."""
    a, b = torch.randn(3), torch.arange(2)

    assert save_tensors({"a": a, "b": b}) == save_tensors({"b": b.clone(), "a": a.clone()})


@pytest.mark.parametrize(
    ("tensor", "why"),
    [
        (torch.ones(2, 2).to_sparse(), "dense"),
        (torch.ones(2, device="meta"), "dense"),
        (torch.ones(2, dtype=torch.complex128), "dtype"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(tensor: torch.Tensor, why: str) -> None:
    """Sparse tensors, tensors without values and unknown dtypes are refused when saved."""
    with pytest.raises(CheckpointError, match=f"{why}.*'odd'"):
        save_tensors({"odd": tensor})


def test_what_could_not_be_loaded_is_refused_when_saved() -> None:
    """More names than the reader takes is an error at the save, not at the resume."""
    with pytest.raises(CheckpointError, match=r"30,000 tensors, it is 5,\d+,\d+ bytes long"):
        save_tensors({f"{i}" * 30: torch.empty(0) for i in range(30_000)})
    with pytest.raises(CheckpointError, match=r"40,000 tensors, it has .* commas and brackets"):
        save_tensors({f"{i}": torch.empty(0) for i in range(40_000)})
    with pytest.raises(CheckpointError, match="__metadata__"):
        save_tensors({"__metadata__": torch.empty(0)})


def many(n: int, data: bytes = b"") -> bytes:
    """Build a file of so many empty tensors."""
    one = json.dumps(entry("F32", [0], 0, 0))
    return file_of(("{" + ",".join(f'"{i}":{one}' for i in range(n)) + "}").encode(), data)


HOSTILE = {
    "empty": lambda: b"",
    "short": lambda: b"\x01\x02",
    "pickle": lambda: pickle.dumps({"weights": [1.0] * 1000}),
    "torch.save": lambda: b"PK\x03\x04" + bytes(1000),
    "header beyond the file": lambda: (2**63).to_bytes(8, "little") + b"{}",
    "header of 98 MB": lambda: file_of(b" " * 98_000_000),
    "a million tensors": lambda: many(1_000_000),
    "no JSON": lambda: file_of(b"{" * 100),
    "deep JSON": lambda: file_of(b'{"a":' * 500_000),
    "long number": lambda: file_of(b'{"a":' + b"1" * 1_000_000 + b"}"),
    "UTF-16": lambda: file_of('{"a":1}'.encode("utf-16")),
    "a list": lambda: file_of([]),
    "entry is text": lambda: file_of({"a": "b"}),
    "entry has more": lambda: file_of({"a": entry("F32", [0], 0, 0) | {"code": 1}}),
    "name twice": lambda: file_of(
        b'{"a":%s,"a":%s}' % ((json.dumps(entry("F32", [1], 0, 4)).encode(),) * 2), bytes(4)
    ),
    "unknown dtype": lambda: file_of({"a": entry("OBJECT", [1], 0, 8)}, bytes(8)),
    "dtype is a list": lambda: file_of({"a": entry(["F32"], [1], 0, 4)}, bytes(4)),
    "shape overflows": lambda: file_of({"a": entry("F32", [2**32, 2**32, 4], 0, 0)}),
    "huge empty shape": lambda: file_of({"a": entry("F32", [0, 2**59, 2**59], 0, 0)}),
    "huge shape": lambda: file_of({"a": entry("F32", [2**40], 0, 2**42)}),
    "shape is negative": lambda: file_of({"a": entry("F32", [-1], 0, 4)}, bytes(4)),
    "shape is a float": lambda: file_of({"a": entry("F32", [1.0], 0, 4)}, bytes(4)),
    "shape is true": lambda: file_of({"a": entry("F32", [True], 0, 4)}, bytes(4)),
    "10,000 dimensions": lambda: file_of({"a": entry("F32", [1] * 10_000, 0, 4)}, bytes(4)),
    "offsets overlap": lambda: file_of(
        {"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)
    ),
    "offsets leave a gap": lambda: file_of(
        {"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 8, 12)}, bytes(12)
    ),
    "offsets run backwards": lambda: file_of({"a": entry("F32", [0], 8, 4)}, bytes(8)),
    "offsets beyond the file": lambda: file_of({"a": entry("F32", [4], 0, 16)}, bytes(8)),
    "bytes left over": lambda: file_of({"a": entry("F32", [1], 0, 4)}, bytes(8)),
    "dtype of another size": lambda: file_of({"a": entry("F64", [1], 0, 4)}, bytes(4)),
    "booleans that are not": lambda: file_of({"a": entry("BOOL", [2], 0, 2)}, b"\x01\x02"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused_quickly(kind: str, honest_s: float) -> None:
    """Each raises CheckpointError naming the source, in less than eight times honest work's time.

    That work is to read a million numbers and to hash 100 MB. Seen: a hundredth of it at most.
    """
    data = HOSTILE[kind]()
    began = time.process_time()

    with pytest.raises(CheckpointError, match=r"step-7/model\.safetensors must be"):
        load_tensors(data, source="step-7/model.safetensors")
    assert time.process_time() - began < 8 * honest_s


def test_the_watch_catches_a_reader_without_the_limit(
    monkeypatch: pytest.MonkeyPatch, honest_s: float
) -> None:
    """Seeded fault: without limits, a fifth of a million tensors take far too long already."""
    monkeypatch.setattr(bounded_json, "why_too_large", lambda data, **_: None)
    monkeypatch.setattr("afina.storage.tensors.MAX_HEADER_BYTES", 10**9)
    data = many(200_000, b"left over")
    began = time.process_time()

    with pytest.raises(CheckpointError, match="describes 0 bytes, but there are 9"):
        load_tensors(data, source="memory")
    assert time.process_time() - began > 8 * honest_s


def test_the_largest_header_allowed_is_read() -> None:
    """A file at either limit is read: the limits are not in the way of real ones."""
    many = {f"{i:06}": entry("F32", [1, 0], 0, 0) for i in range(31_000)}
    long = {f"{i:06}" * 40: entry("F32", [0], 0, 0) for i in range(MAX_HEADER_BYTES // 310)}
    for names in (many, long):
        names["last"] = entry("I8", [1], 0, 1)

        assert len(names) == len(load_tensors(file_of(names, b"\x05"), source="memory"))


@given(st.binary(max_size=300))
def test_any_bytes_load_or_raise_a_checkpoint_error(noise: bytes) -> None:
    """Random bytes behind a valid length never raise anything but CheckpointError."""
    for data in (noise, file_of(noise), file_of({"a": entry("U8", [len(noise)], 0, 8)}, noise)):
        try:
            load_tensors(data, source="noise")
        except CheckpointError:
            continue


def test_every_truncation_and_flip_of_the_header_is_an_error_or_harmless() -> None:
    """No damage of a header crashes the reader; what it lets through, the checksum catches."""
    good = save_tensors({"a": torch.arange(4), "b": torch.ones(2)})
    for length in range(len(good)):
        with pytest.raises(CheckpointError):
            load_tensors(good[:length], source="cut")
    for place in range(len(good) - 40):
        changed = bytearray(good)
        changed[place] ^= 1 << place % 8
        try:
            loaded = load_tensors(bytes(changed), source="flipped")
        except CheckpointError:
            continue
        assert all(isinstance(tensor, torch.Tensor) for tensor in loaded.values())
