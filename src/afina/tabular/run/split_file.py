"""Pack the rows of a split into split.json, and unpack them; see `SplitRecord` for the format."""

import base64
import hashlib
import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from afina.errors import CheckpointError
from afina.records.json_record import parse_record, write_record
from afina.records.split_json import SplitRecord

Ints = NDArray[np.int64]


class SplitRows(NamedTuple):
    """The row numbers of a split, ascending.

    Args:
        train: the training rows.
        val: the validation rows. None: they are a separate table, or there are folds.
        folds: the fold of each training row. None: there are no folds.
    """

    train: Ints
    val: Ints | None
    folds: Ints | None


def write_split(
    train: Ints, val: Ints | None, n_rows: int, how: str, folds: Ints | None = None
) -> bytes:
    """Encode a split as split.json.

    Example:
        >>> data = write_split(np.array([0, 2]), np.array([1]), 4, "by hand")
        >>> rows = read_split(data, "split.json")
        >>> rows.train.tolist(), rows.val.tolist(), rows.folds
        ([0, 2], [1], None)
    """
    mask, val_mask = _mask(train, n_rows), None if val is None else _mask(val, n_rows)
    fold_bytes = None if folds is None else folds.astype(np.uint8).tobytes()
    return write_record(
        SplitRecord(
            how=how,
            n_rows=n_rows,
            train=_zip(mask),
            val=None if val_mask is None else _zip(val_mask),
            folds=None if fold_bytes is None else _zip(fold_bytes),
            sha256=_digest(n_rows, mask, val_mask, fold_bytes),
        )
    )


def read_split(data: bytes, source: str) -> SplitRows:
    """Decode split.json.

    Raises:
        CheckpointError: split.json is damaged.
    """
    record = parse_record(data, SplitRecord, source=source, fix="Fit again.")
    try:
        return _unpack(record)
    except (ValueError, zlib.error) as reason:
        raise CheckpointError(
            f"{source} must assign every row", but=str(reason), fix="Fit again."
        ) from None


def _unpack(record: SplitRecord) -> SplitRows:
    """Unpack the masks and folds; any error means that the file has been changed."""
    n_rows, n_bytes = record.n_rows, -(-record.n_rows // 8)
    mask = _unzip(record.train, n_bytes)
    val_mask = None if record.val is None else _unzip(record.val, n_bytes)
    train = _numbers(mask, n_rows)
    fold_bytes = None if record.folds is None else _unzip(record.folds, len(train))
    if _digest(n_rows, mask, val_mask, fold_bytes) != record.sha256:
        raise ValueError("the sha256 differs")
    return SplitRows(
        train,
        None if val_mask is None else _numbers(val_mask, n_rows),
        None if fold_bytes is None else np.frombuffer(fold_bytes, np.uint8).astype(np.int64),
    )


def _digest(n_rows: int, train: bytes, val: bytes | None, folds: bytes | None) -> str:
    parts = (str(n_rows).encode(), train, val or b"", folds or b"")
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _mask(rows: Ints, n_rows: int) -> bytes:
    bits: NDArray[np.bool_] = np.zeros(n_rows, dtype=np.bool_)
    bits[rows] = True
    return np.packbits(bits).tobytes()


def _zip(raw: bytes) -> str:
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def _unzip(text: str, n_bytes: int) -> bytes:
    packed = base64.b64decode(text, validate=True)
    raw = zlib.decompressobj().decompress(packed, n_bytes + 1)  # the limit defuses zip bombs
    if len(raw) != n_bytes:
        raise ValueError(f"a mask unpacks to {len(raw)} bytes instead of {n_bytes}")
    return raw


def _numbers(mask: bytes, n_rows: int) -> Ints:
    return np.flatnonzero(np.unpackbits(np.frombuffer(mask, np.uint8), count=n_rows))
