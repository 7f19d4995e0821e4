"""Read a table file of any known format into a pyarrow table."""

import io
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from afina.errors import TableError
from afina.table.csv_file import read_csv
from afina.table.frame import clean_table
from afina.table.names import check_names, did_you_mean
from afina.table.stdin import ending_of, is_stdin, stdin_bytes, table_name

_TEXT = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".pq")
_ARROW = (".feather", ".arrow", ".ipc")
_KNOWN = ".csv, .tsv, .txt (also with .gz), .parquet, .pq, .feather, .arrow, .ipc"


def read_table(
    path: str | Path, *, delimiter: str | None = None, encoding: str = "utf-8"
) -> pa.Table:
    """Read a table file in the format that its extension names; CSV cells stay text, as written.

    Args:
        path: `.csv`, `.tsv` or `.txt` (each also with `.gz`), `.parquet`, `.pq`, `.feather`,
            `.arrow` or `.ipc`; `-`: standard input, in any of these formats.
        delimiter: the character between CSV cells. None: a tab in `.tsv`, otherwise inferred from
            the first line.
        encoding: text encoding of a CSV file; a byte-order mark takes precedence.

    Returns:
        A table with columns of text, numbers, booleans, dates and times, unique names, and at least
        one row.

    Raises:
        TableError: the file cannot be read; the message says what is wrong, where, and what to do.
    """
    if is_stdin(path):
        return _read_stdin(delimiter=delimiter, encoding=encoding)
    path = Path(path)
    _check_file(path)
    ending = path.name.lower().removesuffix(".gz")
    zipped = path.name.lower().endswith(".gz")
    if not ending.endswith(_TEXT) and (zipped or not ending.endswith(_PARQUET + _ARROW)):
        raise TableError(
            f"{path}: the name of a table file must end in {_KNOWN}",
            got=repr(path.suffix),
            fix="Save the table as CSV or Parquet.",
        )
    try:
        if ending.endswith(_TEXT):
            delimiter = delimiter or ("\t" if ending.endswith(".tsv") else None)
            return read_csv(path, delimiter=delimiter, encoding=encoding)
        table = _read_binary(path, ending)
    except PermissionError as error:
        raise TableError(
            f"{path}: the file must be readable",
            but=f"it cannot be opened ({error.strerror})",
            fix="Change its permissions, or copy it.",
        ) from error
    return _check_binary(table, path)


def _read_stdin(*, delimiter: str | None, encoding: str) -> pa.Table:
    """Read standard input; the format follows from its first bytes."""
    data, path = stdin_bytes(), Path(table_name("-"))
    ending = ending_of(data)
    if ending == ".csv":
        return read_csv(path, delimiter=delimiter, encoding=encoding, data=data)
    return _check_binary(_read_binary(path, ending, data), path)


def _check_binary(table: pa.Table, path: Path) -> pa.Table:
    check_names(table.column_names, str(path))
    if not table.num_rows or not table.num_columns:
        raise TableError(
            f"{path}: a table must have rows and columns",
            got=f"{table.num_rows} rows and {table.num_columns} columns",
            fix="Choose another file.",
        )
    return clean_table(table, str(path))


def _check_file(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        raise TableError(
            f"{path}: a table must be a file", got="a folder", fix="Choose a file inside it."
        )
    if path.exists():
        raise TableError(
            f"{path}: a table must be a regular file", but="it is not", fix="Copy it to one."
        )
    folder = path.parent
    if not folder.is_dir():
        raise TableError(
            f"{path}: the file must exist",
            but=f"there is no folder {folder}",
            fix="Correct the path.",
        )
    raise TableError(
        f"{path}: the file must exist",
        but="it does not",
        fix=did_you_mean(path.name, sorted(other.name for other in folder.iterdir())).strip()
        or "Correct the path.",
    )


def _read_parquet(source: Path | BinaryIO) -> pa.Table:
    with pyarrow.parquet.ParquetFile(source, page_checksum_verification=True) as file:
        return file.read()


def _read_arrow(source: Path | BinaryIO) -> pa.Table:
    with source.open("rb") if isinstance(source, Path) else source as file:
        start = file.read(6)
        file.seek(0)
        if start == b"ARROW1":
            return pa.ipc.open_file(file).read_all()
        if start[:4] == b"FEA1":
            return pyarrow.feather.read_table(file)
        return pa.ipc.open_stream(file).read_all()


def _read_binary(path: Path, ending: str, data: bytes | None = None) -> pa.Table:
    """Read a file, or the content of one, in a binary format."""
    form = "Parquet" if ending.endswith(_PARQUET) else "Arrow or Feather"
    source = path if data is None else io.BytesIO(data)
    try:
        table = _read_parquet(source) if form == "Parquet" else _read_arrow(source)
        table.validate(full=True)
    except PermissionError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else "out of memory"
        raise TableError(
            f"{path}: the file must be a complete {form} file",
            but=f"it cannot be read ({reason})",
            fix="Write or copy it again.",
        ) from error
    return table
