"""Write predictions to a file: either the whole file or nothing."""

import io
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from afina.errors import ConfigError, StorageError

Writer = Callable[[pa.Table, BinaryIO], None]


def check_out(out: Path, *, table: Path, overwrite: bool) -> None:
    """Raise if the file cannot be written, before any work is done.

    Raises:
        ConfigError: the suffix does not name a table format.
        StorageError: the file already exists, or its folder does not.
    """
    if out.suffix.lower() not in WRITERS:
        raise ConfigError(
            f"--out must end in one of {', '.join(WRITERS)}",
            got=str(out),
            fix="Choose another file name.",
        )
    if out.is_dir():
        raise StorageError(
            "--out must be a file", but=f"{out} is a folder", fix="Choose a file inside it."
        )
    if out.exists() and table.exists() and out.samefile(table):
        raise StorageError(
            "--out must not be the table to predict",
            but=f"both are {out}",
            fix="Choose another name.",
        )
    if os.path.lexists(out) and not overwrite:
        raise StorageError(
            "--out must be a new file",
            but=f"{out} exists",
            fix="Choose a different name, or add --overwrite to replace it.",
        )
    if not out.parent.is_dir():
        raise StorageError(
            "--out must be in an existing folder",
            but=f"there is no folder {out.parent}",
            fix="Make the folder, or choose another.",
        )
    if not os.access(out.parent, os.W_OK):
        raise StorageError(
            "The folder of --out must be writable",
            but=f"{out.parent} is not",
            fix="Choose another folder.",
        )


def write_table(table: pa.Table, out: Path) -> None:
    """Write a table in the format of the file's suffix; a failure leaves an old file unchanged.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    target = out.resolve()  # keeps a link, and replaces the file it points to
    # In the same folder, so that the rename stays on one disk.
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with draft.open("xb") as file:
            WRITERS[out.suffix.lower()](table, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise StorageError(
            "--out must be writable",
            but=f"writing {out} failed: {error.strerror or error}",
            fix="Make room, or choose another folder.",
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def shorten(table: pa.Table, *, classes: bool, kept: Sequence[str] = ()) -> pa.Table:
    """Round predictions to float32 for a text format, which writes it in nine digits or fewer.

    A model's weights are float32, so the other eight digits of a float64 would mean nothing.

    Args:
        table: predictions.
        classes: whether classes are predicted; their labels keep all digits, probabilities do not.
        kept: columns copied from the table, which are not rounded.
    """
    for at, name in enumerate(table.column_names):
        if name in kept or not (
            name.startswith("probability_") if classes else name == "prediction"
        ):
            continue
        exact = table.column(name).to_numpy()
        with np.errstate(over="ignore", under="ignore"):
            short = exact.astype(np.float32)
        if np.isfinite(short).all() and ((short == 0) == (exact == 0)).all():
            table = table.set_column(at, name, pa.array(short))
    return table


def write_csv(table: pa.Table, file: BinaryIO, *, delimiter: str = ",") -> None:
    """Write a table as CSV: UTF-8, a line feed after each row, quotes where needed."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
    text.write(_line(table.column_names, delimiter))
    for batch in table.to_batches(max_chunksize=4096):
        rows = zip(*(_cells(column) for column in batch.columns), strict=True)
        text.writelines(_line(row, delimiter) for row in rows)
    text.flush()
    text.detach()  # the caller closes the file


def _line(cells: Iterable[str | None], delimiter: str) -> str:
    """Return a row as CSV; Python's csv writer would leave a lone carriage return unquoted.

    Empty text is quoted, and a missing cell is left empty.
    """
    special = {delimiter, '"', "\r", "\n"}
    quoted = (
        ""
        if cell is None
        else '"' + cell.replace('"', '""') + '"'
        if not cell or special & set(cell)
        else cell
        for cell in cells
    )
    return delimiter.join(quoted) + "\n"


def _cells(column: pa.Array) -> list[str | None]:
    """Return cells as text that reads back to equal values; use the fewest digits for float32."""
    if pa.types.is_float32(column.type):
        return list(map(str, column.to_numpy(zero_copy_only=False)))
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.string())  # Python's own type holds no nanoseconds
    cells = column.to_pylist()
    if pa.types.is_boolean(column.type):
        return [None if cell is None else "true" if cell else "false" for cell in cells]
    return [None if cell is None else str(cell) for cell in cells]


WRITERS: dict[str, Writer] = {
    ".csv": write_csv,
    ".tsv": partial(write_csv, delimiter="\t"),
    ".parquet": pyarrow.parquet.write_table,
    ".feather": pyarrow.feather.write_feather,
    ".arrow": pyarrow.feather.write_feather,
}
TEXT_FORMATS = (".csv", ".tsv")
