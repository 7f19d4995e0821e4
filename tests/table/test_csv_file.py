"""CSV cells stay exactly as written, whatever the file looks like."""

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import TableError
from afina.table import read_table
from afina.table.csv_file import read_csv

CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
TRICKY = st.text("a1 \",;|\t\n\r'é", max_size=6)


@given(
    cells=st.lists(st.lists(CELL | TRICKY, min_size=2, max_size=2), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;|\t"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
def test_letter_by_letter(
    cells: list[list[str]],
    delimiter: str,
    end: str,
    encoding: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What the standard library writes is read back without a change to any cell."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([["name", "other"], *cells])
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    path.write_bytes(text.getvalue().encode(encoding))

    table = read_table(path)

    assert [list(row.values()) for row in table.to_pylist()] == cells
    assert table.schema.types == [pa.string(), pa.string()]


@pytest.mark.parametrize(
    "cell", ["", " ", "NA", "null", "01234", "1e5", "9007199254740993", "-0.0"]
)
def test_nothing_is_altered(cell: str, tmp_path: Path) -> None:
    """Words for "missing", codes and long numbers stay text."""
    path = tmp_path / "table.csv"
    path.write_text(f"a,b\n{cell},x\n")

    assert read_table(path).to_pylist() == [{"a": cell, "b": "x"}]


def test_encoding_by_name(tmp_path: Path) -> None:
    """A Latin-1 file is read with its encoding named; a byte-order mark overrules the name."""
    path = tmp_path / "table.csv"
    path.write_bytes("é\nà\n".encode("latin-1"))
    assert read_table(path, encoding="latin-1").to_pydict() == {"é": ["à"]}

    path.write_bytes("é\nà\n".encode("utf-16"))
    assert read_table(path, encoding="latin-1").to_pydict() == {"é": ["à"]}


@pytest.mark.parametrize("encoding", ["utf-9", "zip", "latin 99"])
def test_unknown_encoding(encoding: str, tmp_path: Path) -> None:
    """An encoding that Python does not know is an error that names some that it does."""
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n")

    with pytest.raises(TableError, match=r"encoding must be one.*latin-1"):
        read_csv(path, encoding=encoding)


@pytest.mark.parametrize("delimiter", ["::", '"', "\n", "é"])
def test_impossible_delimiter(delimiter: str, tmp_path: Path) -> None:
    """A delimiter is one ASCII character that is no quote and no line end."""
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n")

    with pytest.raises(TableError, match="one ASCII character"):
        read_csv(path, delimiter=delimiter)


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("a,b", ","), ("a;b;c,d", ";"), ('"a,b,c";d', ";"), ("a\tb", "\t"), ("a|b", "|"), ("a", ",")],
)
def test_delimiter_is_found(header: str, delimiter: str, tmp_path: Path) -> None:
    """The delimiter is what stands most often in the first line, outside quotes."""
    path = tmp_path / "table.csv"
    n_columns = len(next(csv.reader([header], delimiter=delimiter)))
    path.write_text(header + "\n" + delimiter.join("1" * n_columns) + "\n")

    assert read_table(path).num_columns == n_columns


def test_given_delimiter_wins(tmp_path: Path) -> None:
    """A delimiter that is given is used, also in a .tsv file."""
    path = tmp_path / "table.tsv"
    path.write_text("a,b\tc\n1,2\t3\n")

    assert read_table(path).column_names == ["a,b", "c"]
    assert read_table(path, delimiter=",").column_names == ["a", "b\tc"]


def test_many_columns(tmp_path: Path) -> None:
    """Ten thousand columns are read."""
    path = tmp_path / "table.csv"
    header = ",".join(f"c{number}" for number in range(10_000))
    path.write_text("\n".join([header, *[",".join(["1"] * 10_000)] * 50]))

    assert read_table(path).shape == (50, 10_000)


def test_a_long_file_with_a_late_fault(tmp_path: Path) -> None:
    """The line of a fault is right after many rows with line breaks in quotes."""
    path = tmp_path / "table.csv.gz"
    good = 'x,"two\nlines"\n' * 50_000
    path.write_bytes(gzip.compress(f"a,b\n{good}1,2,3\n".encode()))

    with pytest.raises(TableError, match=r"line 100002 has 3\."):
        read_table(path)
