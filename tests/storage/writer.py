"""Run by the fault tests: write generation 2 of a folder, by afina's way or by a faulty one.

    python writer.py SRC PARENT WAY

A look at /afina-begin and one at /afina-end mark, in a trace, what belongs to the writing.
The exit code is 0 when the writer says that the folder is saved, 5 when it says that it is not.
"""

import contextlib
import os
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])


from afina.errors import StorageError
from afina.storage.commit import commit_folder
from afina.storage.manifest import MANIFEST, describe, write_manifest

NEW = {"model.bin": b"2" * 9000, "state.json": b'{"generation": 2}'}


def in_place(parent: Path) -> None:
    """Seeded fault: overwrite the previous folder, file by file."""
    files = NEW | {MANIFEST: write_manifest({name: describe(data) for name, data in NEW.items()})}
    for name, data in files.items():
        descriptor = os.open(parent / "step-1" / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)


def in_place_under_a_new_name(parent: Path) -> None:
    """Seeded fault: a new folder, but under its final name from the first file on."""
    (parent / "step-2").mkdir()
    for name, data in NEW.items():
        (parent / "step-2" / name).write_bytes(data)
    manifest = write_manifest({name: describe(data) for name, data in NEW.items()})
    (parent / "step-2" / MANIFEST).write_bytes(manifest)


def without_fsync(parent: Path) -> None:
    """Seeded fault: a temporary folder and a rename, but nothing is made durable."""
    in_place_under_a_new_name(parent)
    (parent / "step-2").rename(parent / "step-2-")
    (parent / "step-2-").rename(parent / "step-2")


def silent(parent: Path) -> None:
    """Seeded fault: afina's way, but the error is swallowed."""
    with contextlib.suppress(StorageError):
        commit_folder(parent / "step-2", NEW)


def afina(parent: Path) -> None:
    """Write the folder as afina does."""
    commit_folder(parent / "step-2", NEW)


WAYS = {way.__name__: way for way in (afina, in_place, in_place_under_a_new_name, silent)}
WAYS["without_fsync"] = without_fsync

os.access("/afina-begin", os.F_OK)
try:
    WAYS[sys.argv[3]](Path(sys.argv[2]))
except OSError as error:
    os.access("/afina-end", os.F_OK)
    sys.stdout.write(str(error))
    sys.exit(5)
os.access("/afina-end", os.F_OK)
