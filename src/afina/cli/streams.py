"""The two streams: data on stdout, everything else on stderr."""

import json
import math
import os
import sys
from collections.abc import Mapping
from typing import Any

SCHEMA_VERSION = 1


def open_closed_streams() -> None:
    """Open the null device in place of each standard stream that is closed.

    Otherwise the next file to be opened, such as a model, would get the stream's number, and
    whatever a library prints would end up in that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)
            if null != number:
                os.close(null)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - it stays open


def emit(text: str) -> None:
    """Write a line of data to stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def emit_json(values: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout; numbers that are not finite become null."""
    document = _finite({"schema_version": SCHEMA_VERSION, **values})
    emit(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2))


def show_note(message: str) -> None:
    """Write a note to stderr."""
    show("note", message)


def printable(text: str) -> str:
    r"""Escape terminal control characters, which cells and column names can carry into messages.

    Example:
        >>> print(printable("a\x1b[31mb"))
        a\x1b[31mb
    """
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def show(kind: str, message: str) -> None:
    """Write a message to stderr, preceded by its kind."""
    sys.stderr.write(f"{kind}: {printable(message.strip())}\n")
    sys.stderr.flush()


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _finite(part) for key, part in value.items()}
        case list() | tuple():
            return [_finite(part) for part in value]
        case _:
            return value
