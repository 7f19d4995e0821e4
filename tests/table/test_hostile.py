"""Hostile tables: each is read right, or refused with one message that says what and where."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from afina.errors import AfinaError, TableError
from afina.table import encode, infer_schema, read_table

BIG = 2**53
WORDS = ["red", "green", "blue"]


@dataclass(frozen=True)
class Case:
    """A file, and what must come of it: a kind by column, or words of the error."""

    name: str
    content: bytes | Callable[[Path], None]
    kinds: dict[str, str] | None = None
    why: str = ""
    says: tuple[str, ...] = ()
    suffix: str = ".csv"


def lines(*rows: str, end: str = "\n") -> bytes:
    """Write rows as a file's bytes."""
    return end.join([*rows, ""]).encode()


def column(cells: list[str], other: str = "n") -> bytes:
    """Write a CSV with one column `a` of cells, and a column of numbers beside it."""
    return lines(f"a;{other}", *(f"{cell};{row % 7}" for row, cell in enumerate(cells)))


def parquet(**columns: object) -> Callable[[Path], None]:
    """Write columns as Parquet."""
    return lambda path: pa.parquet.write_table(pa.table(columns), path)


def repeated(cells: list[str], n_rows: int = 40) -> list[str]:
    """Repeat cells up to a number of rows."""
    return [cells[row % len(cells)] for row in range(n_rows)]


NUMBERS = [f"{row * 1.5}" for row in range(40)]

STRUCTURE = [
    Case("empty", b"", says=("first line with column names", "has none")),
    Case("only newlines", b"\n\r\n\n", says=("first line with column names",)),
    Case("header only", b"a,b\n", says=("must have rows",)),
    Case("header without newline", b"a,b", says=("must have rows",)),
    Case("ragged, short", lines("a,b", "1,2", "3", "4,5"), says=("line 3", "2 cells", "has 1")),
    Case("ragged, long", lines("a,b", "1,2", "3,4,5"), says=("line 3", "2 cells", "has 3")),
    Case("ragged after blank lines", b"a,b\n\n1,2\n\n3\n", says=("line 5", "has 1")),
    Case("ragged after a quoted break", b'a,b\n"x\ny",2\n3\n', says=("line 4", "has 1")),
    Case("unclosed quote", b'a,b\n1,2\n3,"4\n5,6\n', says=("quote", "line 3")),
    Case("unclosed quote, last cell", b'a,b\n1,2\n3,"', says=("quote", "line 3")),
    Case("unclosed quote in the header", b'a,"b\n1,2\n3,4\n', says=("quote", "line 1")),
    Case("unclosed quote, closed by another", b'a,b\n1,"x\n2,"y"\n', says=("quote", "line 3")),
    Case("text after a quote", b'a,b\n1,"x"y\n2,z\n', says=("closing quote", "line 2")),
    Case("doubled quotes around", b'a,b\n1,""x""\n2,z\n', says=("closing quote", "line 2")),
    Case("NUL byte", b"a,b\n1,2\n3,\x004\n", says=("NUL", "line 3")),
    Case("UTF-16 without a mark", "a,b\n1,2\n".encode("utf-16-le"), says=("NUL", "utf-16-le")),
    Case("Latin-1", "a,b\n1,2\ncafé,3\n".encode("latin-1"), says=("line 3", "0xe9", "latin-1")),
    Case("Latin-1 in the header", "é,b\n1,2\n".encode("latin-1"), says=("line 1", "latin-1")),
    Case("truncated UTF-16", "a,b\n1,2\n".encode("utf-16")[:-1], says=("utf-16", "truncated")),
    Case("duplicate names", b"a,b,a,b,c\n1,2,3,4,5\n", says=("'a', 'b'", "more than once")),
    Case("empty name", b",a\n1,2\n", says=("column 1 of 2", "index=False")),
    Case("blank name", b"a, ,c\n1,2,3\n", says=("column 2 of 3",)),
    Case("wrong delimiter in the rows", b"a\n1,2\n3,4\n", says=("line 2", "1 cell, ", "has 2")),
    Case("an image", b"\x89PNG\r\n\x1a\n\x00\x00", says=("NUL",)),
    Case("a page", b"<!DOCTYPE html>\n<html><p>a, b</p>\n", says=("line 2", "has 2")),
    Case("garbage as Parquet", b"PAR1 no", suffix=".parquet", says=("Parquet", "complete")),
    Case("garbage as Feather", b"ARROW1 no", suffix=".feather", says=("Arrow", "complete")),
    Case("garbage as Arrow", b"no", suffix=".arrow", says=("Arrow", "complete")),
    Case("empty Parquet", b"", suffix=".parquet", says=("Parquet", "complete")),
    Case("truncated gzip", gzip.compress(b"a,b\n1,2\n")[:-3], suffix=".csv.gz", says=("gzip",)),
    Case("damaged gzip", b"\x1f\x8b" + b"x" * 40, suffix=".csv.gz", says=("gzip", "damaged")),
    Case("unknown ending", b"a,b\n1,2\n", suffix=".xlsx", says=("'.xlsx'", ".parquet")),
    Case("zipped Parquet", b"a", suffix=".parquet.gz", says=("must end in",)),
    Case("lists", parquet(a=[[1], [2]]), suffix=".parquet", says=("'a'", "list")),
    Case("structures", parquet(a=[{"x": 1}]), suffix=".parquet", says=("'a'", "struct")),
    Case("bytes", parquet(a=[b"x", b"y"]), suffix=".parquet", says=("'a'", "binary")),
    Case("no rows", parquet(a=pa.array([], pa.int64())), suffix=".parquet", says=("0 rows",)),
]

VALUES = [
    Case("one row", b"a,b\nx,2\n", {"a": "ignored", "b": "ignored"}, "every cell is"),
    Case("BOM", b"\xef\xbb\xbfa,b\n" + b"1,x\n2,y\n" * 5, {"a": "numeric", "b": "categorical"}),
    Case("UTF-16", "a,b\n1,é\n2,y\n".encode("utf-16"), {"a": "numeric", "b": "ignored"}),
    Case("UTF-32", "a\n1\n2\n".encode("utf-32"), {"a": "numeric"}),
    Case("CR only", lines("a,b", "1,2", "3,4", end="\r"), {"a": "numeric", "b": "numeric"}),
    Case("mixed line ends", b"a,b\r\n1,2\n3,4\r5,6", {"a": "numeric", "b": "numeric"}),
    Case("tabs", b"a\tb\n1,5\t2\n2,5\t3\n", {"a": "numeric", "b": "numeric"}, "decimal comma"),
    Case("bars", b"a|b\n1|2\n2|3\n", {"a": "numeric", "b": "numeric"}),
    Case("quoted header", b'"a,x";b\n1;2\n2;3\n', {"a,x": "numeric", "b": "numeric"}),
    Case("gzip", gzip.compress(b"a,b\n1,2\n2,3\n"), {"a": "numeric"}, suffix=".csv.gz"),
    Case("gzip without its ending", gzip.compress(b"a,b\n1,2\n2,3\n"), {"a": "numeric"}),
    Case("all missing", column([""] * 40), {"a": "ignored"}, "every cell is missing"),
    Case("constant number", column(["5"] * 40), {"a": "ignored"}, "every cell is 5"),
    Case("constant text", column(["x"] * 40), {"a": "ignored"}, "every cell is 'x'"),
    Case("constant or missing", column(repeated(["x", ""])), {"a": "categorical"}, "1 level"),
    Case("infinity", column([*NUMBERS, "inf"]), says=("row 41", "'a'", "finite")),
    Case("minus infinity", column([*NUMBERS, "-Infinity"]), says=("row 41", "'a'")),
    Case("1e400", column([*NUMBERS, "1e400"]), says=("row 41", "'a'", "finite")),
    Case("typed infinity", parquet(a=[1.0, np.inf, 2.0]), says=("row 2",), suffix=".parquet"),
    Case("tiny", column([*NUMBERS, "1e-400"]), {"a": "numeric"}),
    Case(
        "beyond int64", column(repeated([str(2**63), str(2**64)])), {"a": "categorical"}, "64 bits"
    ),
    Case(
        "beyond int64, ids",
        column([str(2**70 + n) for n in range(40)]),
        {"a": "ignored"},
        "64 bits",
    ),
    Case("beyond 2**53", column([str(BIG + n) for n in range(40)]), {"a": "numeric"}, str(BIG)),
    Case(
        "nanoseconds",
        column([str(1760000000000000000 + n) for n in range(40)]),
        {"a": "numeric"},
        "counted from",
    ),
    Case(
        "unsigned",
        parquet(a=pa.array([2**63, 1] * 9, pa.uint64())),
        {"a": "categorical"},
        suffix=".parquet",
    ),
    Case("row number from 0", column([str(n) for n in range(40)]), {"a": "ignored"}, "row number"),
    Case(
        "row number from 1", column([str(n + 1) for n in range(40)]), {"a": "ignored"}, "row number"
    ),
    Case(
        "leading zeros",
        column(repeated(["01234", "12345"])),
        {"a": "categorical"},
        "'01234' (row 1)",
    ),
    Case("one leading zero", column([*NUMBERS, "007"]), {"a": "ignored"}, "'007' (row 41)"),
    Case("zero itself", column(repeated(["0", "0.5", "-0.25"])), {"a": "numeric"}),
    Case(
        "NA as a value",
        column(repeated(["NA", "DE", "FR"])),
        {"a": "categorical"},
        "'NA' (14 cells)",
    ),
    Case("NA among numbers", column([*NUMBERS, "NA", "k.A."]), {"a": "numeric"}, "'k.A.' (1 cell"),
    Case(
        "words late",
        column([*NUMBERS * 50, "abc"]),
        {"a": "numeric"},
        "'abc' (1 cell, first in row 2001)",
    ),
    Case(
        "many words",
        column([*NUMBERS, *WORDS]),
        {"a": "ignored"},
        "not numbers, because of 'red' (row 41)",
    ),
    Case(
        "two date formats",
        column(["2024-01-31", "31.01.2024"] * 20),
        {"a": "categorical"},
        "two formats",
    ),
    Case(
        "day or month",
        column(repeated(["01/02/2024", "03/04/2024"])),
        {"a": "datetime"},
        "month first",
    ),
    Case(
        "day first", column(repeated(["01/02/2024", "13/04/2024"])), {"a": "datetime"}, "DD/MM/YYYY"
    ),
    Case(
        "no such day",
        column(repeated(["2024-02-28", "2024-02-30"])),
        {"a": "categorical"},
        "not dates",
    ),
    Case(
        "offset on some",
        column(["2024-01-31 10:00", "2024-01-31 10:00Z"] * 20),
        {"a": "categorical"},
        "two formats",
    ),
    Case(
        "NaT among dates", column(repeated(["2024-01-31", "2024-02-01", "NA"])), {"a": "datetime"}
    ),
    Case("decimal comma", column(repeated(["1,5", "2,25"])), {"a": "numeric"}, "decimal comma"),
    Case("thousands", column(repeated(["1,234", "5"])), {"a": "numeric"}, "could also be"),
    Case("currency", column(repeated(["1.234,50 €", "3 €"])), {"a": "numeric"}, "'€' at the end"),
    Case("dollars", column(repeated(["$1,234.50", "-$3"])), {"a": "numeric"}, "'$' in front"),
    Case("percent", column(repeated(["5%", "12.5 %"])), {"a": "numeric"}, "'%' at the end"),
    Case("percent and share", column(["5%", "0.05"] * 20), {"a": "categorical"}, "not numbers"),
    Case(
        "fixed spaces", column(repeated(["1\u00a0234,5", "2\u202f000"])), {"a": "numeric"}, "spaces"
    ),
    Case("underscores", column(repeated(["1_000", "2_000"])), {"a": "categorical"}),
    Case("hexadecimal", column(repeated(["0x10", "0x20"])), {"a": "categorical"}),
    Case("other digits", column(repeated(["١٢٣", "٤٥٦"])), {"a": "categorical"}),
    Case("booleans", column(repeated(["true", "FALSE", "True"])), {"a": "boolean"}),
    Case("yes and no", column(repeated(["yes", "no"])), {"a": "categorical"}, "2 levels"),
    Case("identifier", column([f"id{n}" for n in range(40)]), {"a": "ignored"}, "identifier"),
    Case(
        "free text",
        column([f"a long sentence number {n}" for n in range(200)]),
        {"a": "text"},
        "free text",
    ),
    Case(
        "rare levels",
        column([*repeated(WORDS), "pink"]),
        {"a": "categorical"},
        "1 of them in fewer",
    ),
    Case(
        "no level twice", column([f"x{n}" for n in range(9)]), {"a": "ignored"}, "no value occurs 2"
    ),
    Case("spaces only", column([*NUMBERS, "  ", "\t"]), {"a": "numeric"}),
    Case("long field", b"a,b\n1," + b"x" * 10_000_000 + b"\n2,y\n3,y\n", {"a": "numeric"}),
    Case(
        "long quoted field", b'a,b\n1,"' + b"x,\n" * 3_000_000 + b'"\n2,y\n3,y\n', {"a": "numeric"}
    ),
    Case("quotes inside", b'a,b\n1,5" nail\n2,"5"" nail"\n', {"a": "numeric", "b": "ignored"}),
    Case("delimiter in quotes", b'a,b\n1,"x,y"\n2,"x,y"\n', {"a": "numeric", "b": "ignored"}),
    Case("only the wanted name", b"a\n1\n2\n", {"a": "numeric"}),
    Case("odd names", 'a"b,ü\n1,2\n2,3\n'.encode(), {'a"b': "numeric", "ü": "numeric"}),
    Case("nulls only", parquet(a=pa.nulls(5), b=[1, 2, 3, 4, 5]), {"a": "ignored"}, suffix=".pq"),
    Case(
        "decimals",
        parquet(a=pa.array([1, 2, 3]).cast(pa.decimal128(30, 2))),
        {"a": "numeric"},
        suffix=".pq",
    ),
    Case(
        "durations",
        parquet(a=pa.array([1, 2, 3], pa.duration("ms"))),
        {"a": "numeric"},
        suffix=".pq",
    ),
    Case(
        "dictionary",
        parquet(a=pa.array(["x", "y"] * 9).dictionary_encode()),
        {"a": "categorical"},
        suffix=".pq",
    ),
    Case(
        "times of day",
        parquet(a=pa.array([1, 2, 3], pa.time32("s"))),
        {"a": "numeric"},
        suffix=".pq",
    ),
]


@pytest.mark.parametrize("case", [*STRUCTURE, *VALUES], ids=lambda case: case.name)
def test_hostile_table(case: Case, tmp_path: Path) -> None:
    """A hostile file gives the kinds it should, finite features, or one clear error of ours."""
    path = tmp_path / f"table{case.suffix}"
    if isinstance(case.content, bytes):
        path.write_bytes(case.content)
    else:
        case.content(path)

    try:
        table = read_table(path)
        schema = infer_schema(table, source=str(path))
        features = encode(table, schema, source=str(path))
    except AfinaError as error:
        assert case.says, f"refused, although it should be read: {error}"
        assert str(path) in str(error)
        for word in case.says:
            assert word in str(error)
        return

    assert not case.says, "read, although it should be refused"
    kinds = {one.name: one.kind for one in schema.columns}
    assert case.kinds == {name: kinds[name] for name in case.kinds or {}}
    assert case.why in schema.columns[0].why
    assert len(features.x_num) == table.num_rows
    assert not np.isinf(features.x_num).any()


def test_how_many() -> None:
    """There are at least sixty hostile tables."""
    assert len({case.name for case in [*STRUCTURE, *VALUES]}) >= 60


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tabel.csv", "Did you mean 'table.csv'?"),
        ("folder.csv", "got a folder"),
        ("none/table.csv", "no folder"),
    ],
)
def test_no_file(name: str, says: str, tmp_path: Path) -> None:
    """A path without a file is named, with the nearest one that is there."""
    (tmp_path / "table.csv").write_text("a\n1\n")
    (tmp_path / "folder.csv").mkdir()

    with pytest.raises(TableError, match=says.replace("?", r"\?")):
        read_table(tmp_path / name)


@pytest.mark.parametrize("form", ["csv", "parquet", "feather", "arrow"])
def test_mutants(form: str, tmp_path: Path, rng: np.random.Generator) -> None:
    """A file with a flipped bit or a lost end is read, or refused with an error of ours."""
    table = pa.table({"a": list(range(50)), "b": ["x", "yé", '"z"', "1,5", ""] * 10})
    path = tmp_path / f"table.{form}"
    if form == "csv":
        pa.csv.write_csv(table, path)
    elif form == "parquet":
        pa.parquet.write_table(table, path, write_page_checksum=True)
    elif form == "feather":
        pa.feather.write_feather(table, path)
    else:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    whole = path.read_bytes()

    for _ in range(150):
        mutant = bytearray(whole)
        if rng.random() < 0.3:
            del mutant[rng.integers(len(mutant)) :]
        else:
            mutant[rng.integers(len(mutant))] ^= 1 << int(rng.integers(8))
        path.write_bytes(mutant)
        try:
            read_table(path)
        except TableError as error:
            assert str(path) in str(error)
