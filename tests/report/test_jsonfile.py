"""Reading JSON files that may be damaged."""

from pathlib import Path
from typing import Any

import pytest

from afina.errors import CheckpointError
from afina.report.jsonfile import as_count, as_list, as_number, as_record, as_text, read_record

HERE = Path("summary.json")


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    """A run that has not come so far lacks files, which is no fault."""
    assert read_record(tmp_path / "env.json") is None


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"null", b'{"a": 1}}', b"\xff\xfe{", b"[" * 100_000, b"\x00" * 9]
)
def test_a_damaged_file_is_named(tmp_path: Path, data: bytes) -> None:
    """Whatever stands in a file that is not one JSON object, the error names the file."""
    path = tmp_path / "env.json"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"env\.json"):
        read_record(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, 10**400])
def test_what_is_not_finite_is_none(value: Any) -> None:
    """NaN, infinity and null are all shown as not finite."""
    assert as_number(value, "score.value", HERE) is None


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (as_number, "1"),
        (as_number, True),
        (as_count, -1),
        (as_count, 1.0),
        (as_count, True),
        (as_text, 1),
        (as_list, {}),
        (as_record, []),
    ],
)
def test_a_wrong_value_is_named_with_its_key(check: Any, value: Any) -> None:
    """A value of another type names file, key and what came."""
    with pytest.raises(CheckpointError, match=r"summary\.json: rows\.train must be"):
        check(value, "rows.train", HERE)
