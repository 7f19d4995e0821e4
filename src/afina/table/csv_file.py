"""Read CSV files as tables of text; check their structure, and alter no cell."""

import codecs
import gzip
import re
import warnings
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from afina.errors import AfinaWarning, TableError
from afina.table.csv_faults import (
    blank_lines_note,
    find_fault,
    has_quote_fault,
    line_at,
    row_at,
    split_row,
    unquote,
)
from afina.table.names import check_names

_DELIMITERS = (",", ";", "\t", "|")
_BLOCKS = (1 << 20, 1 << 24, 1 << 28, (1 << 31) - 1)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: it starts with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FIRST_LINE = re.compile(rb'(?:"(?:[^"]++|"")*+(?:"|\Z)|[^"\r\n]++)*+')
_QUOTED = re.compile(rb'"(?:[^"]++|"")*+"?')


def read_csv(
    path: Path,
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    data: bytes | None = None,
) -> pa.Table:
    """Read a CSV file, gzipped or not, with every cell as text, exactly as written.

    Args:
        path: the file; gzip is recognized by its content.
        delimiter: one ASCII character. None: the most frequent of comma, semicolon, tab and bar in
            the first line, outside quotes.
        encoding: encoding of the text; a byte-order mark at the start takes precedence.
        data: the file's content, if it has been read already.

    Raises:
        TableError: the file is not a table; the message names the line and says what to do.
    """
    data = _unzip(path.read_bytes() if data is None else data, path)
    data = _to_utf8(data, encoding, path)
    _check_no_nul(data, path)
    start = len(data) - len(data.lstrip(b"\r\n"))
    line = _FIRST_LINE.match(data, start)
    if line is None or not line[0].strip():
        raise TableError(
            f"{path}: a table must have a first line with column names",
            but="this one has none",
            fix="Add the names, or choose another file.",
        )
    mark = _check_delimiter(delimiter, path) if delimiter else _find_delimiter(line[0])
    header = row_at(data, start, mark)
    _check_utf8(data[: start + len(header)], path)
    names = [unquote(cell).decode() for cell in split_row(header, mark)]
    check_names(names, str(path))
    _check_rows(header, 0, mark, names, path)
    if not data[start + len(header) :].strip(b"\r\n"):
        raise TableError(
            f"{path}: a table must have rows",
            but=f"there is only a first line with {len(names)} names",
            fix="Add rows, or choose another file.",
        )
    return _parse(data, start + len(header), mark, names, path)


def _unzip(data: bytes, path: Path) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TableError(
            f"{path}: a gzip file must be complete",
            but=f"it is truncated or damaged ({error})",
            fix="Copy or compress it again.",
        ) from error


def _to_utf8(data: bytes, encoding: str, path: Path) -> bytes:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), encoding)
    try:
        if codecs.lookup(encoding).name == "utf-8":
            return data.removeprefix(codecs.BOM_UTF8)
        return data.decode(encoding).encode()
    except LookupError as error:
        raise TableError(
            f"{path}: the encoding must be one that Python knows",
            got=f"{encoding=}",
            fix="Use utf-8, latin-1, cp1252 or utf-16.",
        ) from error
    except UnicodeError as error:
        raise TableError(
            f"{path}: the file must be {encoding} text",
            but=f"it cannot be decoded ({error})",
            fix="Set its encoding with `--set table.encoding=...` (in Python: encoding=...).",
        ) from error


def _check_no_nul(data: bytes, path: Path) -> None:
    at = data.find(b"\0")
    if at >= 0:
        raise TableError(
            f"{path}: a table must be text",
            but=f"line {line_at(data, at)} holds a NUL byte",
            fix="If the file is UTF-16, add `--set table.encoding=utf-16-le` (in Python: "
            "encoding='utf-16-le'); if not, it is damaged or not a CSV file.",
        )


def _check_utf8(data: bytes, path: Path) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise TableError(
            f"{path}: the file must be UTF-8 text",
            but=f"line {line_at(data, error.start)} holds the byte 0x{data[error.start]:02x} "
            f"(byte {error.start + 1} of the file)",
            fix="If it is Latin-1, add `--set table.encoding=latin-1` (in Python: encoding='latin-1').",
        ) from error


def _check_delimiter(delimiter: str, path: Path) -> str:
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise TableError(
            f"{path}: the delimiter must be one ASCII character other than a quote or a line break",
            got=repr(delimiter),
            fix="Use a comma, a semicolon, a bar or a tab.",
        )
    return delimiter


def _find_delimiter(line: bytes) -> str:
    outside = _QUOTED.sub(b"", line)
    return max(_DELIMITERS, key=lambda mark: outside.count(mark.encode()))


def _parse(data: bytes, start: int, delimiter: str, names: list[str], path: Path) -> pa.Table:
    quoted = data.find(b'"', start) >= 0
    if quoted and has_quote_fault(data, start, delimiter):
        _check_rows(data, start, delimiter, names, path)
    try:
        table = _read_blocks(memoryview(data)[start:], delimiter, len(names), quoted=quoted)
    except pa.ArrowInvalid as error:
        _check_utf8(data, path)
        _check_rows(data, start, delimiter, names, path)
        raise TableError(
            f"{path}: the file must be readable as CSV",
            but=f"it is not ({error})",
            fix="Write it again, as CSV or Parquet.",
        ) from error
    note = blank_lines_note(data, start, delimiter)
    if note:
        warnings.warn(f"{path}: {note}", AfinaWarning, stacklevel=2)
    return table.rename_columns(names)


def _read_blocks(body: memoryview, delimiter: str, n_columns: int, *, quoted: bool) -> pa.Table:
    numbers = [str(number) for number in range(n_columns)]
    for block in _BLOCKS:
        try:
            return pyarrow.csv.read_csv(
                pa.BufferReader(body),
                read_options=pyarrow.csv.ReadOptions(
                    column_names=numbers,
                    block_size=block,
                    # If a program with torch exits while pyarrow's threads are still starting, the
                    # C++ runtime aborts it (pyarrow 26, torch 2.13: every other time).
                    use_threads=False,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=delimiter,
                    quote_char='"' if quoted else False,
                    newlines_in_values=quoted,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(numbers, pa.string()),
                    strings_can_be_null=False,
                    null_values=[],
                ),
            )
        except pa.ArrowInvalid as error:
            # A cell is longer than the block: read again with longer blocks.
            if "straddl" not in str(error) or block == _BLOCKS[-1]:
                raise
    raise AssertionError("unreachable")


def _check_rows(data: bytes, start: int, delimiter: str, names: list[str], path: Path) -> None:
    if fault := find_fault(data, start, delimiter=delimiter, n_columns=len(names)):
        raise TableError(f"{path}: {fault.must}", but=fault.but, fix=fault.fix)
