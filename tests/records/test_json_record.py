"""Reading JSON files that may be damaged."""

from pathlib import Path
from typing import Any

import pytest
from pydantic.dataclasses import dataclass

from afina.errors import CheckpointError
from afina.records.json_record import (
    Count,
    Flag,
    Number,
    Positive,
    Text,
    check,
    parse_record,
    read_record,
    to_dict,
    write_record,
)

HERE = Path("summary.json")


@dataclass(frozen=True)
class Inner:
    """A part of a record."""

    sizes: tuple[Count, ...] = ()


@dataclass(frozen=True)
class Outer:
    """A record."""

    name: Text
    inner: Inner
    value: Number = None


def test_a_record_reads_back_as_it_was_written() -> None:
    """Text of any letters, also those of no UTF-8, numbers and lists come back equal."""
    record = Outer("caf\udce9 \U0001f600", Inner((1, 2)), 0.1)
    assert parse_record(write_record(record), Outer, source=HERE) == record
    assert to_dict(record) == {"name": record.name, "inner": {"sizes": [1, 2]}, "value": 0.1}


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    """A run that has not come so far lacks files, which is no fault."""
    assert read_record(tmp_path / "env.json", Outer) is None


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"null", b'{"a": 1}}', b"\xff\xfe{", b"[" * 100_000, b"\x00" * 9]
)
def test_a_damaged_file_is_named(tmp_path: Path, data: bytes) -> None:
    """Whatever stands in a file that is not one JSON object, the error names the file."""
    path = tmp_path / "env.json"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"env\.json must"):
        read_record(path, Outer)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A folder in a file's place is an error that says so."""
    (tmp_path / "env.json").mkdir()
    with pytest.raises(
        CheckpointError, match=r"env\.json must be a readable file, but reading it failed: Is a dir"
    ):
        read_record(tmp_path / "env.json", Outer)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, 10**400])
def test_what_is_not_finite_is_none(value: Any) -> None:
    """NaN, infinity and null are all read as not finite, and written as null."""
    assert check(value, Number, HERE) is None
    assert b'"value": null' in write_record(Outer("a", Inner(), value))


@pytest.mark.parametrize(
    ("kind", "value", "got"),
    [
        (Number, "1", "'1'"),
        (Number, True, "True"),
        (Count, -1, "-1"),
        (Count, 1.0, "1.0"),
        (Count, True, "True"),
        (Positive, 0, "0"),
        (Text, 1, "1"),
        (Flag, 1, "1"),
        (tuple[Count, ...], {}, "dict"),
        (Inner, [], "list"),
        (Outer, None, "None"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(kind: Any, value: Any, got: str) -> None:
    """A value of another type names file, key and what came."""
    with pytest.raises(CheckpointError, match=rf"summary\.json: rows\.train must be .*; got {got}"):
        check(value, kind, HERE, key="rows.train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"inner": {}}', "summary.json: name must be present. Restore the file"),
        (b'{"name": "a"}', "inner must be present"),
        (b'{"name": "a", "inner": {"sizes": [1, "x"]}}', "inner.sizes.1 must be a valid integer"),
        (b'{"name": "a", "inner": {"sizes": 3}}', "inner.sizes must be a list; got 3"),
        (b'{"name": "a", "inner": null}', "inner must be an object; got None"),
        (b'{"name": "a\\u001b[2J", "inner": 1, "value": "\\u001b"}', "inner must be an object"),
    ],
)
def test_the_first_fault_is_told(content: bytes, message: str) -> None:
    """The message has the whole path of the key that is missing or wrong."""
    with pytest.raises(CheckpointError) as caught:
        parse_record(content, Outer, source=HERE)
    assert message in str(caught.value)


def test_unknown_keys_are_ignored_or_refused() -> None:
    """Keys of a newer version are left out, or refused by name where that is asked for."""
    data = b'{"name": "a", "inner": {"color": 1}}'
    assert parse_record(data, Outer, source=HERE) == Outer("a", Inner())
    with pytest.raises(CheckpointError, match=r"summary\.json: inner\.color must not be present"):
        parse_record(data, Outer, source=HERE, unknown="forbid")


@pytest.mark.parametrize("data", [b" " * 300, b"[" + b"{}," * 100 + b"0]"])
def test_a_limit_is_kept(data: bytes) -> None:
    """A file of more bytes than asked for is refused before anything of it is decoded."""
    with pytest.raises(CheckpointError, match="the limit is 200"):
        parse_record(data, Outer, source=HERE, max_bytes=200)
