"""split.json: which row of the table went where, small, and readable by a written rule.

    {"format": 1, "how": "...", "n_rows": n, "train": "<mask>", "val": "<mask>", "sha256": "..."}

A mask is base64 of zlib of one bit a row (row 0 is the highest bit of the first byte; the last
byte is filled up with zeros). Rows count from 0 as they stand in the table; a row in neither was
left out. With a validation table of its own, `val` is null. Where the training rows are in folds,
`val` is null too, and `folds` is base64 of zlib of one byte for each of them, in order: its fold,
from 0. `sha256` is that of the number of rows in decimal digits, followed by the raw bytes of the
masks, train first, and of the folds.
"""

import base64
import hashlib
import json
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afina.errors import CheckpointError

FORMAT = 1
_MAX_ROWS = 2**36


def write_split(
    train: NDArray[np.int64],
    val: NDArray[np.int64] | None,
    n_rows: int,
    how: str,
    folds: NDArray[np.int64] | None = None,
) -> bytes:
    """Encode a split as the bytes of split.json.

    Example:
        >>> data = write_split(np.array([0, 2]), np.array([1]), 4, "by hand")
        >>> [part.tolist() for part in read_split(data, "split.json")]
        [[0, 2], [1]]
    """
    masks = (_mask(train, n_rows), None if val is None else _mask(val, n_rows))
    of = None if folds is None else folds.astype(np.uint8).tobytes()
    content = {
        "format": FORMAT,
        "how": how,
        "n_rows": n_rows,
        "train": _packed(masks[0]),
        "val": _packed(masks[1]),
        **({} if of is None else {"folds": _packed(of)}),
        "sha256": _digest(n_rows, masks[0], masks[1], of),
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def read_split(data: bytes, source: str) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Decode split.json to the numbers of the training and of the validation rows.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        train, val, n_rows = _read_masks(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as reason:
        raise CheckpointError(
            f"split.json must say which rows were training rows, however: {source} cannot be "
            f"read ({type(reason).__name__}: {reason}). Fit again."
        ) from None
    return _numbers(train, n_rows), None if val is None else _numbers(val, n_rows)


def read_folds(data: bytes, source: str) -> NDArray[np.int64] | None:
    """Decode the fold of each training row; none: there are no folds.

    Raises:
        CheckpointError: it is damaged.
    """
    train, _ = read_split(data, source)
    text = json.loads(data).get("folds")
    if text is None:
        return None
    return np.frombuffer(_unzipped(text, len(train)), dtype=np.uint8).astype(np.int64)


def _read_masks(content: Any) -> tuple[bytes, bytes | None, int]:
    """Unpack both masks; any error says that the file is not as it was written."""
    n_rows = content["n_rows"]
    if content["format"] != FORMAT or type(n_rows) is not int or not 0 <= n_rows < _MAX_ROWS:
        raise ValueError("it is of another format")
    train = _unpacked(content["train"], n_rows)
    val = None if content["val"] is None else _unpacked(content["val"], n_rows)
    folds = content.get("folds")
    of = None if folds is None else _unzipped(folds, len(_numbers(train, n_rows)))
    if _digest(n_rows, train, val, of) != content["sha256"]:
        raise ValueError("the sha256 differs")
    return train, val, n_rows


def _digest(n_rows: int, train: bytes, val: bytes | None, folds: bytes | None) -> str:
    raw = str(n_rows).encode() + train + (val or b"") + (folds or b"")
    return hashlib.sha256(raw).hexdigest()


def _mask(rows: NDArray[np.int64], n_rows: int) -> bytes:
    bits: NDArray[np.bool_] = np.zeros(n_rows, dtype=np.bool_)
    bits[rows] = True
    return np.packbits(bits).tobytes()


def _packed(mask: bytes | None) -> str | None:
    return None if mask is None else base64.b64encode(zlib.compress(mask, 9)).decode()


def _unpacked(text: Any, n_rows: int) -> bytes:
    return _unzipped(text, -(-n_rows // 8))


def _unzipped(text: Any, n_bytes: int) -> bytes:
    packed = base64.b64decode(text, validate=True)
    raw = zlib.decompressobj().decompress(packed, n_bytes + 1)  # a bomb stops at what is due
    if len(raw) != n_bytes:
        raise ValueError(f"{len(raw)} bytes where {n_bytes} are due")
    return raw


def _numbers(mask: bytes, n_rows: int) -> NDArray[np.int64]:
    bits = np.unpackbits(np.frombuffer(mask, dtype=np.uint8), count=n_rows)
    return np.flatnonzero(bits).astype(np.int64)
