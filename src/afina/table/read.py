"""A table file of any kind we know, as a pyarrow table."""

from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from afina.errors import TableError
from afina.table.csv_file import read_csv
from afina.table.frame import clean_table
from afina.table.names import check_names, did_you_mean

_TEXT = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".pq")
_ARROW = (".feather", ".arrow", ".ipc")
_KNOWN = ".csv, .tsv, .txt (also with .gz), .parquet, .pq, .feather, .arrow, .ipc"


def read_table(
    path: str | Path, *, delimiter: str | None = None, encoding: str = "utf-8"
) -> pa.Table:
    """Read a table file by its ending; CSV cells stay text, letter by letter.

    Args:
        path: `.csv`, `.tsv` or `.txt` (each also with `.gz`), `.parquet`, `.pq`, `.feather`,
            `.arrow` or `.ipc`.
        delimiter: one character between CSV cells; None: a tab in `.tsv`, otherwise found from
            the first line.
        encoding: text encoding of a CSV file; a byte-order mark overrules it.

    Returns:
        Columns of text, numbers, booleans, dates and times; names are unique; one row or more.

    Raises:
        TableError: what is wrong, where, and what to do; no other error for any content.
    """
    path = Path(path)
    _check_file(path)
    ending = path.name.lower().removesuffix(".gz")
    zipped = path.name.lower().endswith(".gz")
    if not ending.endswith(_TEXT) and (zipped or not ending.endswith(_PARQUET + _ARROW)):
        raise TableError(
            f"{path}: a table file must end in one of {_KNOWN}, however: this one ends in "
            f"{path.suffix!r}. Save the table as CSV or Parquet."
        )
    try:
        if ending.endswith(_TEXT):
            tabs = "\t" if ending.endswith(".tsv") else None
            return read_csv(path, delimiter=delimiter or tabs, encoding=encoding)
        table = _read_parquet(path) if ending.endswith(_PARQUET) else _read_arrow(path)
    except PermissionError as error:
        raise TableError(
            f"{path}: the file must be readable, however: {error.strerror}."
        ) from error
    check_names(table.column_names, str(path))
    if not table.num_rows or not table.num_columns:
        raise TableError(
            f"{path}: a table must have rows and columns, however: {table.num_rows} rows and "
            f"{table.num_columns} columns came."
        )
    return clean_table(table, str(path))


def _check_file(path: Path) -> None:
    if path.is_file():
        return
    if path.is_dir():
        raise TableError(f"{path}: a table must be a file, however: this is a folder. Name a file.")
    if path.exists():
        raise TableError(f"{path}: a table must be a plain file, however: this is none.")
    folder = path.parent
    if not folder.is_dir():
        raise TableError(f"{path}: the file must exist, however: there is no folder {folder}.")
    hint = did_you_mean(path.name, sorted(other.name for other in folder.iterdir()))
    raise TableError(f"{path}: the file must exist, however: there is none.{hint}")


def _read_parquet(path: Path) -> pa.Table:
    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
        table.validate(full=True)
    except PermissionError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise _damaged(path, "Parquet", error) from error
    return table


def _read_arrow(path: Path) -> pa.Table:
    try:
        with path.open("rb") as file:
            start = file.read(6)
            file.seek(0)
            if start == b"ARROW1":
                table = pa.ipc.open_file(file).read_all()
            elif start[:4] == b"FEA1":
                table = pyarrow.feather.read_table(file)
            else:
                table = pa.ipc.open_stream(file).read_all()
        table.validate(full=True)
    except PermissionError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise _damaged(path, "Arrow or Feather", error) from error
    return table


def _damaged(path: Path, form: str, error: BaseException) -> TableError:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return TableError(
        f"{path}: the file must be a whole {form} file, however: it cannot be read ({reason}). "
        "Write or copy it again."
    )
