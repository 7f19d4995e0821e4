import gzip
import io
import sys

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from afina.errors import TableError
from afina.table import read_table
from afina.table.stdin import is_stdin, stdin_bytes, table_name

TABLE = pa.table({"a": [1, 2], "b": ["x", "y"]})


class Stdin:
    """Standard input that holds some bytes."""

    def __init__(self, data):
        self.buffer = io.BytesIO(data)


def as_parquet(table):
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


def as_arrow(table, make=pa.ipc.new_file):
    file = io.BytesIO()
    with make(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def as_feather(table):
    file = io.BytesIO()
    pyarrow.feather.write_feather(table, file)
    return file.getvalue()


TYPED = {
    "Parquet": as_parquet(TABLE),
    "Arrow": as_arrow(TABLE),
    "Arrow stream": as_arrow(TABLE, pa.ipc.new_stream),
    "Feather": as_feather(TABLE),
}
TEXT = {
    "comma": b"a,b\n1,x\n2,y\n",
    "semicolon": b"a;b\r\n1;x\r\n2;y\r\n",
    "tab": b"a\tb\n1\tx\n2\ty\n",
    "gzip": gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0),
    "UTF-16": "a,b\n1,x\n2,y\n".encode("utf-16"),
}


@pytest.mark.parametrize("name", [*TYPED, *TEXT])
def test_every_format_is_known_by_its_content(name, monkeypatch):
    """A table from stdin is that of a file: typed, or all text."""
    data = {**TYPED, **TEXT}[name]
    monkeypatch.setattr(sys, "stdin", Stdin(data))
    table = read_table("-")

    assert table["b"].to_pylist() == ["x", "y"]
    assert table["a"].to_pylist() == ([1, 2] if name in TYPED else ["1", "2"])


def test_it_is_read_once(monkeypatch):
    """Who asks again gets the same bytes; another stream is read anew."""
    for data in (b"a\n1\n", b"b\n2\n"):
        monkeypatch.setattr(sys, "stdin", Stdin(data))
        assert read_table("-").equals(read_table("-"))
        assert stdin_bytes() == data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "stdin: a table must have a first line"),
        (b"a,b\n", "stdin: a table must have rows"),
        (b"a,b\n1\n", "stdin: every row must have as many cells"),
        (as_parquet(TABLE)[:-9], "stdin: the file must be a complete Parquet file"),
        (as_parquet(TABLE.slice(0, 0)), "stdin: a table must have rows and columns"),
        (gzip.compress(b"a\n1\n", mtime=0)[:-4], "stdin: a gzip file must be complete"),
        (b"a\n\xe9\n", "stdin: the file must be UTF-8 text"),
    ],
)
def test_a_fault_is_that_of_stdin(data, words, monkeypatch):
    """A message names stdin where it would name a file."""
    monkeypatch.setattr(sys, "stdin", Stdin(data))
    with pytest.raises(TableError) as record:
        read_table("-")

    assert str(record.value).startswith(words.split(" must")[0])
    assert words.partition(": ")[2][:12] in str(record.value)


def test_a_stream_of_text(monkeypatch):
    """A stand-in for stdin that holds text works too."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\né\n"))

    assert read_table("-").to_pydict() == {"a": ["é"]}


def test_names():
    """Only a single dash is stdin."""
    assert [is_stdin(path) for path in ("-", "--", "a/-", None)] == [True, False, False, False]
    assert (table_name("-"), table_name("a.csv")) == ("stdin", "a.csv")
