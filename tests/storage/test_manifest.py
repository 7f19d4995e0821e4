"""The manifest says one thing in one way."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.storage.manifest import (
    MAX_MANIFEST_BYTES,
    Entry,
    describe,
    read_manifest,
    shown,
    why_bad_name,
    write_manifest,
)

names = st.text(min_size=1, max_size=20).filter(lambda name: why_bad_name(name) is None)
entries = st.builds(
    Entry,
    size=st.integers(0, 2**63 - 1),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
)


@given(st.dictionaries(names, entries, max_size=5))
def test_what_is_written_is_read(files: dict[str, Entry]) -> None:
    """Every manifest comes back as it was, whatever the names."""
    assert files == read_manifest(write_manifest(files))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_a_value_error(data: bytes) -> None:
    """Bytes that are no manifest raise ValueError and nothing else."""
    with pytest.raises(ValueError, match="it "):
        read_manifest(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"\n", b""),
        lambda text: text + b" ",
        lambda text: text.replace(b'"a"', b'"\\u0061"'),
        lambda text: text.replace(b'"size": 3', b'"size": 3.0'),
        lambda text: text.replace(b'"size": 3', b'"size": 3, "size": 3'),
        lambda text: text.replace(b'"size": 3', b'"size": true'),
        lambda text: text.replace(b'"format": 1', b'"format": 2'),
        lambda text: text.replace(b'"format": 1', b'"format": true'),
        lambda text: text.replace(b'"a"', b'"../a"'),
        lambda text: text.replace(b'"a"', b'"\\ud800"'),
    ],
)
def test_a_manifest_that_says_it_another_way_is_refused(change: Callable[[bytes], bytes]) -> None:
    """Other spacing, escapes, repeats or types are noticed: no byte of a manifest is free."""
    text = write_manifest({"a": describe(b"abc")})

    assert change(text) != text
    with pytest.raises(ValueError):  # noqa: PT011 - each case has its own words
        read_manifest(change(text))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"[" * 900_000,
        b'{"a":' * 150_000,
        b"1" * 900_000,
        b"\x80\x04\x95\x00.",
        b" " * (MAX_MANIFEST_BYTES + 1),
        b'{"files": [], "format": 1}',
        b'{"files": {"a": 1}, "format": 1}',
        b"\xff\xfe{\x00}\x00",
    ],
)
def test_hostile_manifests_are_refused(data: bytes) -> None:
    """Deep, long, binary and wrongly shaped manifests raise ValueError."""
    with pytest.raises(ValueError, match=r"its? "):
        read_manifest(data)


def test_shown_values_are_short_and_printable() -> None:
    """A name from a hostile file cannot write control codes to a terminal."""
    assert shown("\x1b[31m") == r"'\x1b[31m'"
    assert len(shown("a" * 1000)) == 80
    assert shown(json.loads("{}")) == "dict"
