"""Find where a CSV file is malformed: a slow search, made only after the fast checks fail."""

import re
from dataclasses import dataclass
from functools import cache

import numpy as np

_BLANK = re.compile(rb"\n\r?\n|\r\r")
_NEWLINE = rb"(?:\r\n|\r|\n|\Z)"


def line_at(data: bytes, position: int) -> int:
    r"""Return the line (from 1) that holds the byte at `position`; \n, \r\n and \r end a line.

    Example:
        >>> line_at(b"a\r\nb\rc\nd", 7)
        4
    """
    feeds, returns = data.count(b"\n", 0, position), data.count(b"\r", 0, position)
    return 1 + feeds + returns - data.count(b"\r\n", 0, position)


def row_at(data: bytes, position: int, delimiter: str) -> bytes:
    """Return the row at `position`, including its line end and any line breaks within quotes."""
    match = _row_pattern(delimiter).match(data, position)
    return match[0] if match else b""  # the pattern always matches


@cache
def _row_pattern(delimiter: str) -> re.Pattern[bytes]:
    # Possessive quantifiers throughout, so that a cell of many megabytes takes no extra time or
    # stack.
    cell = _cell_pattern(delimiter).pattern
    return re.compile(rb"(?:" + cell + re.escape(delimiter.encode()) + rb")*+" + cell + _NEWLINE)


@cache
def _cell_pattern(delimiter: str) -> re.Pattern[bytes]:
    plain = rb"[^\r\n" + re.escape(delimiter.encode()) + rb"]*+"
    return re.compile(rb'(?:"(?:[^"]++|"")*+(?:"|\Z))?+' + plain)


def split_row(row: bytes, delimiter: str) -> list[bytes]:
    """Split a row into its cells exactly as written, with quotes but without the line end.

    Example:
        >>> split_row(b'a,"b,c",d', ",")
        [b'a', b'"b,c"', b'd']
    """
    cell, mark = _cell_pattern(delimiter), delimiter.encode()
    cells, position = [], 0
    while match := cell.match(row, position):
        cells.append(match[0])
        position = match.end() + 1
        if row[match.end() : position] != mark:
            break
    return cells


def unquote(cell: bytes) -> bytes:
    """Remove the quotes around a cell that has them; leave any other cell unchanged."""
    if len(cell) >= 2 and cell.startswith(b'"') and cell.endswith(b'"'):
        return cell[1:-1].replace(b'""', b'"')
    return cell


def has_quote_fault(data: bytes, start: int, delimiter: str) -> bool:
    r"""Return whether text follows a closing quote, or a quote is never closed.

    pyarrow accepts both faults. This test is exact and fast. A run of quotes of even length does not
    change whether the position is inside a quoted cell. A run of odd length ends a quoted cell,
    begins one after a delimiter, or is text.

    Example:
        >>> has_quote_fault(b'"a,""b",c\n', 0, ","), has_quote_fault(b'"a"b,c\n', 0, ",")
        (False, True)
    """
    letters = np.frombuffer(data, dtype=np.uint8)[start:]
    at = np.flatnonzero(letters == ord('"'))
    breaks = np.flatnonzero(np.diff(at) > 1)
    first = at[np.concatenate(([0], breaks + 1))]  # the first quote of each run
    last = at[np.concatenate((breaks, [len(at) - 1]))]
    edge = np.zeros(256, dtype=bool)
    edge[[ord(letter) for letter in "\r\n" + delimiter]] = True
    begins = (first == 0) | edge[letters[first - 1]]
    goes_on = (last < len(letters) - 1) & ~edge[letters[(last + 1) % len(letters)]]
    odd = (last - first) % 2 == 0
    # After an odd run within text, the position is certainly outside; any other odd run toggles it.
    changes = np.concatenate(([0], np.cumsum(odd & begins)))
    known = np.where(odd & ~begins, np.arange(1, len(odd) + 1), 0)
    since = changes[np.maximum.accumulate(known)]
    inside = np.concatenate(([False], (changes[1:] - since) % 2 == 1))
    text_follows = goes_on & np.where(inside[:-1], odd, begins & ~odd)
    return bool(text_follows.any() or inside[-1])


@dataclass(frozen=True)
class CsvFault:
    """The fault of a row, as parts of an error message.

    Args:
        must: what must hold.
        but: what holds instead, and where.
        fix: what to do.
    """

    must: str
    but: str
    fix: str


def find_fault(data: bytes, start: int, *, delimiter: str, n_columns: int) -> CsvFault | None:
    """Find the first row with the wrong number of cells, an open quote, or text after a quote.

    Args:
        data: the whole file.
        start: position of the first row to check.
        delimiter: one ASCII character.
        n_columns: number of cells that every row must have.

    Returns:
        The fault, or None if there is none.
    """
    mark = delimiter.encode()
    position = start
    while position < len(data):
        row = row_at(data, position, delimiter)
        if b'"' in row:
            if fault := _quote_fault(data, position, split_row(row, delimiter), n_columns):
                return fault
        elif row.strip(b"\r\n") and row.count(mark) + 1 != n_columns:
            return _width_fault(data, position, row, row.count(mark) + 1, n_columns)
        position += len(row)
    return None


def blank_lines_note(data: bytes, start: int, delimiter: str) -> str:
    r"""Return a note that counts the blank lines between rows, or "" if there are none.

    Blank lines at the end of the file are not counted.

    Example:
        >>> blank_lines_note(b"a\n1\n\n2\n\n\n", 2, ",")
        '1 blank line is skipped (line 3): it gets no row and no prediction'
    """
    end = len(data.rstrip(b"\r\n"))
    if not _BLANK.search(data, start - 1, end):  # fast, but it may be inside a quoted cell
        return ""
    blank, position = [], start
    while position < end:
        row = row_at(data, position, delimiter)
        if not row.strip(b"\r\n"):
            blank.append(position)
        position += len(row)
    if not blank:
        return ""
    first = line_at(data, blank[0])
    if len(blank) == 1:
        return f"1 blank line is skipped (line {first}): it gets no row and no prediction"
    return f"{len(blank):,} blank lines are skipped (the first is line {first}): they get no rows and no predictions"


def _quote_fault(data: bytes, position: int, cells: list[bytes], n_columns: int) -> CsvFault | None:
    at = position
    for cell in cells:
        if cell.startswith(b'"'):
            closed = re.match(rb'"(?:[^"]++|"")*+"', cell)
            if closed is None:
                return CsvFault(
                    "every quote must be closed",
                    f"the quote opened in line {line_at(data, at)} is not",
                    "Close it, or double it if it belongs to the text.",
                )
            if closed.end() < len(cell):
                return CsvFault(
                    "a closing quote must end its cell",
                    f"text follows one in line {line_at(data, at + closed.end())}",
                    "Double the quotes inside a quoted cell, or close an earlier quote.",
                )
        at += len(cell) + 1
    if len(cells) != n_columns:
        return _width_fault(data, position, data[position : at - 1], len(cells), n_columns)
    return None


def _width_fault(data: bytes, position: int, row: bytes, n_cells: int, n_columns: int) -> CsvFault:
    first = line_at(data, position)
    last = line_at(data, position + len(row.rstrip(b"\r\n")))
    where = f"line {first}" if first == last else f"the row of lines {first} to {last}"
    quote = "" if first == last else "A closing quote may be missing there. "
    return CsvFault(
        f"every row must have {n_columns} cell{'s' * (n_columns != 1)}, like the first line",
        f"{where} has {n_cells}",
        f"{quote}Correct it, or set the delimiter with `--set table.delimiter=...` "
        "(in Python: delimiter=...).",
    )
