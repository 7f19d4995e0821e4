"""JSON from anybody costs little."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.storage import read_json, why_too_large
from afina.storage.bounded_json import MAX_BYTES, MAX_SEPARATORS

LIMIT = MAX_BYTES


def filled(unit: bytes, n: int | None = None) -> bytes:
    """Repeat a value in a list, up to a limit."""
    n = n or min(LIMIT // (len(unit) + 1), (MAX_SEPARATORS - 2) // (1 + unit.count(b"{"))) - 1
    return b"[" + b",".join([unit] * n) + b"]"


WORST = {
    "small tables": filled(b"{}"),
    "small lists": filled(b"[]", MAX_SEPARATORS // 2 - 1),
    "numbers": filled(b"-99999"),
    "keys": json.dumps(
        {f"{i:06}\U0001f600": -i - 9 for i in range(171_000)},
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode(),
    "one text": json.dumps("\U0001f600" + "a" * (LIMIT - 20)).encode(),
    "tables in a row": filled(b'{"ab":1.5}'),
}


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=9))
def test_what_is_within_the_limits_is_read(value: object) -> None:
    """Any JSON comes back, with any function for its objects."""
    data = json.dumps(value).encode()

    assert value == read_json(data) == read_json(data, on_object=dict)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b" " * (MAX_BYTES + 1), "3,500,001 bytes long"),
        (b"[" + b"{}," * 200_000 + b"0]", "400,001 commas and brackets"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"1" * 5000, "cannot be read as JSON"),
        ("[1]".encode("utf-16"), "cannot be read as JSON"),
        (b"\x80\x04K\x01.", "cannot be read as JSON"),
    ],
)
def test_what_is_not_is_refused(data: bytes, why: str) -> None:
    """Too long, too many values, too deep, too long a number, another encoding: a ValueError."""
    with pytest.raises(ValueError, match=why):
        read_json(data)


@pytest.mark.parametrize("kind", WORST)
def test_the_worst_within_the_limits_costs_little_memory(kind: str) -> None:
    """What grows most when read needs at most twice its own size and 64 MB."""
    data = WORST[kind]
    assert why_too_large(data) is None
    tracemalloc.start()
    try:
        read_json(data, on_object=dict)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2 * len(data) + 64 * 2**20


def test_the_memory_check_catches_a_reader_without_the_limit() -> None:
    """Seeded fault: with a byte limit alone, small tables cost more than is allowed."""
    data = filled(b"{}", LIMIT // 3 - 1)
    tracemalloc.start()
    try:
        json.loads(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert why_too_large(data) is not None
    assert peak > 2 * len(data) + 64 * 2**20
