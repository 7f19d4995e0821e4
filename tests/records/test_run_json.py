"""Reading run.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from afina.errors import CheckpointError
from afina.records.json_record import write_record
from afina.records.run_json import RunRecord, SourceFile, read_run_record

RUN = RunRecord(
    table=SourceFile("/data/caf\udce9.csv", 9, "0" * 64),
    val=None,
    target="Größe",
    threads=1,
    batch_size=256,
    lr=0.001,
    schema_sha256="1" * 64,
    split_sha256="2" * 64,
)


def test_a_run_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """Every value comes back, also a path whose bytes are not UTF-8."""
    (tmp_path / "run.json").write_bytes(write_record(RUN))
    assert read_run_record(tmp_path) == RUN


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("by", "someone"),
        ("table", {"path": "a.csv", "size": 1}),
        ("table", {"path": "a.csv", "size": 1, "sha256": "0", "more": 1}),
        ("target", 3),
        ("threads", 0),
        ("threads", True),
        ("batch_size", 1.5),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("lr", "0.1"),
        ("schema_sha256", None),
        ("later", 1),
    ],
)
def test_a_value_that_cannot_be_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    """A wrong, missing or unknown key is named with the file."""
    content = json.loads(write_record(RUN)) | {key: value}
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=rf"run\.json: {key}"):
        read_run_record(tmp_path)


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    """Only a bounded part of a file is read, whatever lies in the record's place."""
    (tmp_path / "run.json").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="the limit is"):
        read_run_record(tmp_path)


def test_a_folder_without_one_is_no_run(tmp_path: Path) -> None:
    """The message says what kind of folder to name."""
    with pytest.raises(
        CheckpointError, match=r"must be a run folder, but run\.json cannot be read"
    ):
        read_run_record(tmp_path)
