"""Read JSON from untrusted files, in bounded time and memory.

A limit on bytes is not enough: `[{},{},{},...` takes thirty times its size in memory. So the number
    of values is limited too, by counting the characters that separate them.
"""

import json
from collections.abc import Callable
from typing import Any

MAX_BYTES = 3_500_000
MAX_SEPARATORS = 250_000  # the values that they separate take at most 60 MB

Pairs = list[tuple[str, Any]]


def read_json(
    data: bytes,
    *,
    max_bytes: int | None = MAX_BYTES,
    on_object: Callable[[Pairs], Any] | None = None,
) -> Any:
    """Decode UTF-8 JSON within the limits.

    Args:
        data: the whole file.
        max_bytes: reject more bytes than this, and more than `MAX_SEPARATORS` values. None: no
            limit.
        on_object: converts the pairs of an object to a value; by default, to a dict.

    Raises:
        ValueError: the message is a clause that says what is wrong.

    Example:
        >>> read_json(b'{"step": 12}')
        {'step': 12}
    """
    if max_bytes is not None and (large := why_too_large(data, max_bytes=max_bytes)):
        raise ValueError(large)
    try:
        # Not json.loads(bytes), which guesses the encoding.
        return json.loads(data.decode("utf-8"), object_pairs_hook=on_object)
    except json.JSONDecodeError as reason:
        where = f"line {reason.lineno}, column {reason.colno}"
        raise ValueError(f"it cannot be read as JSON ({where})") from None
    except (ValueError, RecursionError):  # not UTF-8, too deep, too long a number
        raise ValueError("it cannot be read as JSON") from None


def why_too_large(data: bytes, *, max_bytes: int = MAX_BYTES) -> str | None:
    """Return which limit the JSON exceeds; None if it is within both."""
    if len(data) > max_bytes:
        return f"it is {len(data):,} bytes long; the limit is {max_bytes:,}"
    n_separators = sum(data.count(letter) for letter in b",[{")
    if n_separators > MAX_SEPARATORS:
        return f"it has {n_separators:,} commas and brackets; the limit is {MAX_SEPARATORS:,}"
    return None
