"""Files are read by their ending."""

from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from afina.errors import TableError
from afina.table import read_table

TABLE = pa.table({"a": [1, 2], "b": ["x", None], "c": [True, False]})


@pytest.mark.parametrize("ending", [".parquet", ".pq", ".PARQUET"])
def test_parquet(ending: str, tmp_path: Path) -> None:
    """Parquet keeps its types."""
    pa.parquet.write_table(TABLE, tmp_path / f"table{ending}")

    assert read_table(tmp_path / f"table{ending}").equals(TABLE)


@pytest.mark.parametrize("ending", [".feather", ".arrow", ".ipc"])
@pytest.mark.parametrize("version", ["file", "stream"])
def test_arrow(ending: str, version: str, tmp_path: Path) -> None:
    """Arrow files and streams are told apart by their content, not by their ending."""
    path = tmp_path / f"table{ending}"
    new = pa.ipc.new_file if version == "file" else pa.ipc.new_stream
    with new(path, TABLE.schema) as writer:
        writer.write_table(TABLE)

    assert read_table(path).equals(TABLE)


def test_duplicate_names_in_parquet(tmp_path: Path) -> None:
    """Two columns of one name are refused in every kind of file."""
    pa.parquet.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "table.parquet")

    with pytest.raises(TableError, match="'a' appears more than once"):
        read_table(tmp_path / "table.parquet")


def test_text_path(tmp_path: Path) -> None:
    """A path may be text."""
    (tmp_path / "table.txt").write_text("a b\n1 2\n")

    assert read_table(str(tmp_path / "table.txt"), delimiter=" ").column_names == ["a", "b"]
