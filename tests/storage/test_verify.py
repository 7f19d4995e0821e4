"""A folder is read only when every byte of it is as it was written."""

import os
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from afina.errors import CheckpointError
from afina.storage import commit_folder, save_tensors, verify_file, verify_folder
from afina.storage.manifest import MANIFEST, Entry, describe, write_manifest

FILES = {"model.bin": bytes(range(256)) * 4, "state.json": b'{"step": 12}', "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a whole folder."""
    commit_folder(tmp_path / "step-1", FILES)
    return tmp_path / "step-1"


def flips_found(folder: Path, read: Callable[[Path], dict[str, bytes]]) -> tuple[int, int]:
    """Flip every bit of every file, one at a time; count the flips and those that `read` finds."""
    n_flips = n_found = 0
    for file in sorted(folder.iterdir()):
        data = bytearray(file.read_bytes())
        for place in range(len(data)):
            data[place] ^= 1 << place % 8
            file.write_bytes(data)
            n_flips += 1
            try:
                n_found += read(folder) != FILES
            except CheckpointError:
                n_found += 1
            data[place] ^= 1 << place % 8
        file.write_bytes(data)
    return n_flips, n_found


def test_a_flipped_bit_in_any_byte_is_found(folder: Path) -> None:
    """One flipped bit in any byte of any file, the manifest's too, raises CheckpointError."""
    n_flips, n_found = flips_found(folder, verify_folder)

    assert n_flips == sum(file.stat().st_size for file in folder.iterdir()) > 1200
    assert n_flips == n_found
    assert verify_folder(folder) == FILES


def test_the_flips_are_missed_by_a_reader_that_checks_sizes_only(folder: Path) -> None:
    """Seeded fault: a reader without checksums lets flips through, so the test can catch one."""

    def careless(path: Path) -> dict[str, bytes]:
        for name, data in FILES.items():
            if len(data) != (path / name).stat().st_size:
                raise CheckpointError
        return FILES

    assert flips_found(folder, careless)[1] == 0


def test_every_bit_of_the_manifest_counts(folder: Path) -> None:
    """Every single bit of the manifest, flipped, is found."""
    file = folder / MANIFEST
    data = file.read_bytes()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        with pytest.raises(CheckpointError):
            verify_folder(folder)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, 1023])
def test_truncation_is_found(folder: Path, length: int) -> None:
    """A file cut short is named with both sizes."""
    os.truncate(folder / "model.bin", length)

    with pytest.raises(CheckpointError, match=f"'model.bin' has {length:,} bytes.*says 1,024"):
        verify_folder(folder)


def test_a_missing_an_extra_and_an_exchanged_file_are_found(folder: Path, tmp_path: Path) -> None:
    """A folder of files that do not belong together is refused, and the file is named."""
    commit_folder(tmp_path / "step-2", FILES | {"model.bin": bytes(1024)})
    (folder / "model.bin").write_bytes((tmp_path / "step-2" / "model.bin").read_bytes())
    with pytest.raises(CheckpointError, match=r"'model.bin' is damaged"):
        verify_folder(folder)

    (folder / "model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"'model.bin' is missing"):
        verify_folder(folder)

    (tmp_path / "step-2" / "more").touch()
    with pytest.raises(CheckpointError, match=r"not in its manifest: 'more'"):
        verify_folder(tmp_path / "step-2")


def test_a_folder_without_a_manifest_is_no_checkpoint(tmp_path: Path) -> None:
    """A missing folder, an empty one, and a file in its place are errors that name the path."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()

    with pytest.raises(CheckpointError, match=r"empty, 'MANIFEST.json' is missing"):
        verify_folder(tmp_path / "empty")
    with pytest.raises(CheckpointError, match=r"none.*No such file"):
        verify_folder(tmp_path / "none")
    with pytest.raises(CheckpointError, match="Not a directory"):
        verify_folder(tmp_path / "file")


def as_pipe(path: Path) -> None:
    """Make a named pipe."""
    os.mkfifo(path)


def as_folder(path: Path) -> None:
    """Make a folder."""
    path.mkdir()


def as_link(path: Path) -> None:
    """Make a link to a file."""
    path.symlink_to("/etc/hostname")


def as_device(path: Path) -> None:
    """Make a link to a device."""
    path.symlink_to("/dev/zero")


def as_socket(path: Path) -> None:
    """Make a socket."""
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize("make", [as_pipe, as_folder, as_link, as_device, as_socket])
@pytest.mark.parametrize("name", ["model.bin", MANIFEST])
def test_what_is_not_a_plain_file_is_refused_unopened(
    folder: Path, make: Callable[[Path], None], name: str
) -> None:
    """A pipe, folder, link, device or socket in a file's place is refused and never waited for."""
    (folder / name).unlink()
    make(folder / name)

    with pytest.raises(CheckpointError, match=f"'{name}' is a link, a folder or a device"):
        verify_folder(folder)


def hostile_manifests() -> dict[str, bytes]:
    """Return manifests that ask for what must not be done."""
    good = describe(b"")
    outside = (
        b'{"files": {"%s": {"sha256": "' + good.sha256.encode() + b'", "size": 0}}, "format": 1}'
    )
    return {
        "pickle": b"\x80\x04\x95\x1f\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system.",
        "parent": outside % b"../secret",
        "absolute": outside % b"/etc/passwd",
        "backslash": outside % b"..\\\\secret",
        "itself": outside % b"MANIFEST.json",
        "huge": write_manifest({"model.bin": Entry(2**62, good.sha256)}),
        "negative": write_manifest({"model.bin": Entry(-1, good.sha256)}),
        "many": write_manifest({f"f{i}": good for i in range(8000)}),
        "deep": b'{"files": ' * 90_000,
        "large": b" " * 50_000_000,
        "text": b"step 12",
        "empty": b"",
    }


@pytest.mark.parametrize("kind", hostile_manifests())
def test_hostile_manifests_are_refused_quickly(
    folder: Path, tmp_path: Path, kind: str, honest_s: float
) -> None:
    """Each is refused in less than eight times the time of a million numbers and 100 MB.

    Seen: half of that time at most; a manifest of a million files would take fifty times it.
    """
    (tmp_path / "secret").touch()
    (folder / MANIFEST).write_bytes(hostile_manifests()[kind])
    seconds = []
    for _ in range(3):  # a shared machine may count time in which it did not run; never too little
        began = time.process_time()
        with pytest.raises(CheckpointError):
            verify_folder(folder)
        seconds.append(time.process_time() - began)

    assert min(seconds) < 8 * honest_s


def test_a_huge_sparse_file_is_refused_by_its_size(folder: Path) -> None:
    """A file that pretends to 8 TB costs nothing: its size is not the manifest's."""
    os.truncate(folder / "model.bin", 2**43)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(CheckpointError, match="has 8,796,093,022,208 bytes"):
        verify_folder(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_a_size_that_cannot_fit_in_memory_is_an_error(folder: Path) -> None:
    """A sparse file of 8 TB with a manifest to match is an error, not a crash."""
    os.truncate(folder / "model.bin", 2**43)
    entries = {name: describe(data) for name, data in FILES.items()}
    entries["model.bin"] = Entry(2**43, entries["model.bin"].sha256)
    (folder / MANIFEST).write_bytes(write_manifest(entries))

    with pytest.raises(CheckpointError, match="this machine's memory"):
        verify_folder(folder)


def test_each_file_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes checked are the bytes returned: no file is opened twice."""
    opened = []
    really_open = os.open

    def counted(path: Path | str, flags: int, *, dir_fd: int | None = None) -> int:
        opened.append(str(path))
        return really_open(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", counted)
    verify_folder(folder)

    assert sorted([str(folder), MANIFEST, *FILES]) == sorted(opened)


def test_one_file_is_read_as_carefully_as_all(folder: Path) -> None:
    """One file of a folder: its bytes, or an error when it is damaged, missing or no plain file."""
    assert FILES["state.json"] == verify_file(folder, "state.json")
    with pytest.raises(CheckpointError, match="'other' is missing"):
        verify_file(folder, "other")
    (folder / "state.json").write_bytes(b'{"step": 13}')
    with pytest.raises(CheckpointError, match="damaged"):
        verify_file(folder, "state.json")
    (folder / "state.json").unlink()
    os.mkfifo(folder / "state.json")
    with pytest.raises(CheckpointError, match="is a link, a folder"):
        verify_file(folder, "state.json")


def test_tensors_in_a_folder_are_protected(tmp_path: Path) -> None:
    """What safetensors alone would load silently wrong is refused."""
    import torch

    commit_folder(tmp_path / "m", {"model.safetensors": save_tensors({"w": torch.ones(100)})})
    file = tmp_path / "m" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-3] ^= 16
    file.write_bytes(data)

    with pytest.raises(CheckpointError, match="damaged"):
        verify_folder(tmp_path / "m")
