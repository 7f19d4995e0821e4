"""Where a CSV file is broken: a slow and careful second look, taken only after a fast one failed."""

import re
from functools import cache

import numpy as np

_NEWLINE = rb"(?:\r\n|\r|\n|\Z)"


def line_at(data: bytes, position: int) -> int:
    r"""Number of the line (from 1) that holds the byte at `position`; \n, \r\n and \r end a line.

    Example:
        >>> line_at(b"a\r\nb\rc\nd", 7)
        4
    """
    feeds, returns = data.count(b"\n", 0, position), data.count(b"\r", 0, position)
    return 1 + feeds + returns - data.count(b"\r\n", 0, position)


def row_at(data: bytes, position: int, delimiter: str) -> bytes:
    """Take the row that starts at `position`, with the line's end and line breaks in quotes."""
    match = _row_pattern(delimiter).match(data, position)
    return match[0] if match else b""  # the pattern fits every text


@cache
def _row_pattern(delimiter: str) -> re.Pattern[bytes]:
    # Possessive throughout, so that a cell of many megabytes costs neither time nor stack.
    cell = _cell_pattern(delimiter).pattern
    return re.compile(rb"(?:" + cell + re.escape(delimiter.encode()) + rb")*+" + cell + _NEWLINE)


@cache
def _cell_pattern(delimiter: str) -> re.Pattern[bytes]:
    plain = rb"[^\r\n" + re.escape(delimiter.encode()) + rb"]*+"
    return re.compile(rb'(?:"(?:[^"]++|"")*+(?:"|\Z))?+' + plain)


def split_row(row: bytes, delimiter: str) -> list[bytes]:
    """Cut a row into its cells as they stand, quotes included; the line's end is left out.

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
    """Take the quotes off a cell that has them; others stay letter by letter."""
    if len(cell) >= 2 and cell.startswith(b'"') and cell.endswith(b'"'):
        return cell[1:-1].replace(b'""', b'"')
    return cell


def has_quote_fault(data: bytes, start: int, delimiter: str) -> bool:
    r"""Whether text follows a closing quote, or a quote is never closed; exact, and fast.

    pyarrow lets both pass. A run of an even number of quotes keeps us inside or outside of a
    quoted cell; an odd one ends a quoted cell, or begins one after a delimiter, or is text.

    Example:
        >>> has_quote_fault(b'"a,""b",c\n', 0, ","), has_quote_fault(b'"a"b,c\n', 0, ",")
        (False, True)
    """
    letters = np.frombuffer(data, dtype=np.uint8)[start:]
    at = np.flatnonzero(letters == ord('"'))
    breaks = np.flatnonzero(np.diff(at) > 1)
    first = at[np.concatenate(([0], breaks + 1))]  # each run's ends
    last = at[np.concatenate((breaks, [len(at) - 1]))]
    edge = np.zeros(256, dtype=bool)
    edge[[ord(letter) for letter in "\r\n" + delimiter]] = True
    begins = (first == 0) | edge[letters[first - 1]]
    goes_on = (last < len(letters) - 1) & ~edge[letters[(last + 1) % len(letters)]]
    odd = (last - first) % 2 == 0
    # After an odd run within text we are outside for sure; other odd runs change sides.
    changes = np.concatenate(([0], np.cumsum(odd & begins)))
    known = np.where(odd & ~begins, np.arange(1, len(odd) + 1), 0)
    since = changes[np.maximum.accumulate(known)]
    inside = np.concatenate(([False], (changes[1:] - since) % 2 == 1))
    text_follows = goes_on & np.where(inside[:-1], odd, begins & ~odd)
    return bool(text_follows.any() or inside[-1])


def find_fault(data: bytes, start: int, *, delimiter: str, n_columns: int) -> str | None:
    """Find the first row of the wrong width, open quote or text after a quote, and say it.

    Args:
        data: the whole file.
        start: where the first row after the header begins.
        delimiter: one ASCII character.
        n_columns: cells that every row must have.

    Returns:
        What must hold, what came and what to do; None where no row is at fault.
    """
    mark = delimiter.encode()
    position = start
    while position < len(data):
        row = row_at(data, position, delimiter)
        if b'"' in row:
            fault = _quote_fault(data, position, split_row(row, delimiter), n_columns)
            if fault:
                return fault
        elif row.strip(b"\r\n") and row.count(mark) + 1 != n_columns:
            return _width_fault(data, position, row, row.count(mark) + 1, n_columns)
        position += len(row)
    return None


def _quote_fault(data: bytes, position: int, cells: list[bytes], n_columns: int) -> str | None:
    at = position
    for cell in cells:
        if cell.startswith(b'"'):
            closed = re.match(rb'"(?:[^"]++|"")*+"', cell)
            if closed is None:
                return (
                    "every quote must be closed, however: the one opened in line "
                    f"{line_at(data, at)} never is. Close it, or double a quote that is meant."
                )
            if closed.end() < len(cell):
                return (
                    "a closing quote must end its cell, however: in line "
                    f"{line_at(data, at + closed.end())} text follows one. "
                    "Double the quotes inside a quoted cell, or close an earlier one."
                )
        at += len(cell) + 1
    if len(cells) != n_columns:
        row = data[position : at - 1]
        return _width_fault(data, position, row, len(cells), n_columns)
    return None


def _width_fault(data: bytes, position: int, row: bytes, found: int, wanted: int) -> str:
    first = line_at(data, position)
    last = line_at(data, position + len(row.rstrip(b"\r\n")))
    where = f"line {first}" if first == last else f"the row of lines {first} to {last}"
    quote = "" if first == last else " A quote may be missing its end there."
    return (
        f"every row must have {wanted} cell{'s' * (wanted != 1)} like the first line, however: "
        f"{where} has {found}.{quote} Mend it, or name the delimiter with "
        "`--set table.delimiter=...`."
    )
