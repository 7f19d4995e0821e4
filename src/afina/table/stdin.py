"""A table from standard input: its path is `-`, and messages call it `stdin`."""

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

_DASH = "-"
_BINARY = {
    b"PAR1": ".parquet",
    b"ARRO": ".arrow",
    b"FEA1": ".feather",
    b"\xff\xff\xff\xff": ".arrow",  # an Arrow stream
}


def is_stdin(path: str | Path | None) -> bool:
    """Return whether a path means standard input.

    Example:
        >>> is_stdin("-"), is_stdin(Path("-")), is_stdin("table.csv")
        (True, True, False)
    """
    return path is not None and str(path) == _DASH


def table_name(path: str | Path) -> str:
    """Return what a table is called in messages."""
    return "stdin" if is_stdin(path) else str(path)


def stdin_bytes() -> bytes:
    """Return all of standard input; it is read once and then kept for later calls."""
    return _read(sys.stdin)


def ending_of(data: bytes) -> str:
    """Return the file extension that fits the content of a table without a name.

    Example:
        >>> ending_of(b"PAR1..."), ending_of(b"a,b")
        ('.parquet', '.csv')
    """
    return _BINARY.get(data[:4], ".csv")


@lru_cache(maxsize=1)
def _read(stream: Any) -> bytes:
    data: bytes = stream.buffer.read() if hasattr(stream, "buffer") else stream.read().encode()
    return data
