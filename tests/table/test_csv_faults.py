"""Quote faults are found exactly, and found faults are put into words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afina.table.csv_faults import (
    find_fault,
    has_quote_fault,
    line_at,
    row_at,
    split_row,
    unquote,
)


def slow_quote_fault(data: bytes) -> bool:
    """Look at every cell, one after the other."""
    position = 0
    while position < len(data):
        row = row_at(data, position, ",")
        for cell in split_row(row, ","):
            closed = re.match(rb'"(?:[^"]|"")*"(?!")', cell)
            if cell.startswith(b'"') and (closed is None or closed.end() < len(cell)):
                return True
        position += len(row)
    return False


@given(st.text('aa"",\n\r', min_size=1, max_size=24))
def test_quote_faults(text: str) -> None:
    """The fast look at runs of quotes agrees with the slow one at cells."""
    data = f'"",{text}'.encode()

    assert has_quote_fault(data, 0, ",") == slow_quote_fault(data)


@given(st.text('a",\n', max_size=30))
def test_rows_cover_the_text(text: str) -> None:
    """Rows follow one another without a gap, and cells make up their row."""
    data, position = text.encode(), 0
    while position < len(data):
        row = row_at(data, position, ",")
        assert row
        assert b",".join(split_row(row, ",")) in (row, row.removesuffix(b"\n"))
        position += len(row)
    assert position == len(data)


@pytest.mark.parametrize(
    ("cell", "text"), [(b'"a"', b"a"), (b'"a""b"', b'a"b'), (b'a"b"', b'a"b"'), (b'"', b'"')]
)
def test_unquote(cell: bytes, text: bytes) -> None:
    """Quotes around a cell go, doubled ones inside become one, others stay."""
    assert unquote(cell) == text


def test_lines_are_counted() -> None:
    """A line ends with a feed, a return, or both."""
    assert [line_at(b"a\nb\r\nc\rd", at) for at in (0, 2, 5, 7)] == [1, 2, 3, 4]


def test_no_fault() -> None:
    """A sound text has no fault."""
    assert find_fault(b'a,b\n"x\ny",""\n\n1,2', 0, delimiter=",", n_columns=2) is None
