"""Predictions into a file: all of it or nothing."""

import csv
import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.cli import write
from afina.cli.write import check_out, shorten, write_csv, write_table
from afina.errors import ConfigError, StorageError

TABLE = pa.table({"prediction": ["01", 'a "b"', "x,y"], "probability_01": [0.1, 1.0, 1e-9]})


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
def test_labels_come_back_letter_by_letter(labels: list[str]) -> None:
    """What CSV is written, a CSV reader reads back equal: quotes, commas, line ends and spaces."""
    file = io.BytesIO()
    write_csv(pa.table({"prediction": labels, "n": list(range(len(labels)))}), file)

    rows = list(csv.reader(io.StringIO(file.getvalue().decode(), newline="")))
    assert [["prediction", "n"], *([label, str(n)] for n, label in enumerate(labels))] == rows


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_float32_comes_back_equal(values: list[float]) -> None:
    """A float32 is written in as few digits as bring it back."""
    column = pa.array(np.array(values, dtype=np.float32))
    file = io.BytesIO()
    write_csv(pa.table({"p": column}), file)

    lines = file.getvalue().decode().splitlines()[1:]
    assert np.array(lines, dtype=np.float32).tolist() == values


@given(st.lists(st.floats(-1e30, 1e30).filter(lambda x: x == 0 or abs(x) > 1e-30), min_size=1))
def test_predictions_are_shortened_to_float32(values: list[float]) -> None:
    """Predictions have nine digits or fewer, from which the same float32 is read; labels stay."""
    table = pa.table({"prediction": values, "probability_a": values})

    short = shorten(table, classes=True)

    file = io.BytesIO()
    write_csv(short, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue().decode())))
    assert [float(row["prediction"]) for row in rows] == values
    texts = [row["probability_a"] for row in rows]
    assert np.array(texts, dtype=np.float32).tolist() == np.float32(values).tolist()
    assert all(len(text.partition("e")[0].strip("-0.").replace(".", "")) <= 9 for text in texts)


@pytest.mark.parametrize("value", [1e300, 1e-60, -1e300])
def test_what_float32_cannot_hold_stays(value: float) -> None:
    """A number beyond float32, or one that it would make 0, keeps its digits."""
    table = pa.table({"prediction": [1.0, value]})

    assert shorten(table, classes=False).equals(table)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".feather", ".arrow", ".CSV"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    """Each suffix gives a file of its format, and no other file."""
    out = tmp_path / f"p{suffix}"

    write_table(TABLE, out)

    assert [out] == list(tmp_path.iterdir())
    match suffix.lower():
        case ".parquet":
            assert pyarrow.parquet.read_table(out).equals(TABLE)
        case ".feather" | ".arrow":
            assert pyarrow.feather.read_table(out).equals(TABLE)
        case _:
            delimiter = {".csv": ",", ".tsv": "\t"}[suffix.lower()]
            with out.open(newline="", encoding="utf-8") as file:
                assert list(csv.reader(file, delimiter=delimiter))[1] == ["01", "0.1"]


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fills up on the way, the old file stays whole and no other is left.

    A writer that opens the goal itself would leave half a file: the fault comes after a part
    was written.
    """
    out = tmp_path / "p.csv"
    out.write_text("old")

    def fill_disk(_table: pa.Table, file: BinaryIO) -> None:
        file.write(b"half of a row")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(write.WRITERS, ".csv", fill_disk)
    with pytest.raises(OSError, match="No space"):
        write_table(TABLE, out)

    assert [out] == list(tmp_path.iterdir())
    assert out.read_text() == "old"


def test_a_link_keeps_pointing(tmp_path: Path) -> None:
    """Written through a link, the file it points to is replaced, and the link stays."""
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")

    write_table(TABLE, tmp_path / "link.csv")

    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("prediction,")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("p.xlsx", ConfigError, "must end in one of .csv"),
        ("p", ConfigError, "must end in one of .csv"),
        ("folder.csv", StorageError, "is a folder"),
        ("table.csv", StorageError, "must not be the table"),
        ("old.csv", StorageError, "add --overwrite"),
        ("absent/p.csv", StorageError, "there is no"),
    ],
)
def test_refusals(tmp_path: Path, name: str, kind: type[Exception], words: str) -> None:
    """A file that cannot be written is refused before any work is done."""
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "table.csv").touch()
    (tmp_path / "old.csv").touch()

    with pytest.raises(kind, match=words):
        check_out(tmp_path / name, table=tmp_path / "table.csv", overwrite=False)


def test_overwrite(tmp_path: Path) -> None:
    """Asked to, an old file may be replaced; the table that is read may not."""
    for name in ["old.csv", "table.csv"]:
        (tmp_path / name).touch()

    check_out(tmp_path / "old.csv", table=tmp_path / "table.csv", overwrite=True)
    with pytest.raises(StorageError, match="must not be the table"):
        check_out(tmp_path / "table.csv", table=tmp_path / "table.csv", overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    """A folder that cannot be written is refused by name."""
    tmp_path.chmod(0o500)

    with pytest.raises(StorageError, match="must be writable"):
        check_out(tmp_path / "p.csv", table=tmp_path / "t.csv", overwrite=False)


def test_cells_of_other_types() -> None:
    """A missing cell is empty, an empty text quoted; booleans, dates and times have their text."""
    table = pa.table(
        {
            "id": pa.array([1, None, 3], pa.int64()),
            "on": [True, None, False],
            "text": ["", None, "a,b"],
            "day": pa.array([0, 1, None], pa.date32()),
            "time": pa.array([0, 1, None], pa.timestamp("ns")),
            "prediction": [0.5, 0.25, 1.0],
        }
    )
    file = io.BytesIO()
    write_csv(table, file)

    assert file.getvalue().decode().splitlines() == [
        "id,on,text,day,time,prediction",
        '1,true,"",1970-01-01,1970-01-01 00:00:00.000000000,0.5',
        ",,,1970-01-02,1970-01-01 00:00:00.000000001,0.25",
        '3,false,"a,b",,,1.0',
    ]
