"""What was said to be saved is there after a power cut."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from afina.errors import CheckpointError
from afina.storage import commit_folder, verify_folder, write_file
from afina.storage.manifest import MANIFEST, describe, write_manifest

FILES = {"model.bin": os.urandom(70_000), "state.json": b"{}"}


def run(*command: str | Path) -> bool:
    """Run a program; say whether it succeeded."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def mounted(image: Path) -> Iterator[Path]:
    """Mount a disk image for a while; skip the test, visibly, where that is not allowed."""
    folder = image.with_suffix(".mounted")
    folder.mkdir(exist_ok=True)
    if not run("mount", "-o", "loop", image, folder):
        pytest.skip("mounting a disk image needs root and a loop device")
    try:
        yield folder
    finally:
        assert run("umount", folder)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Make an ext4 disk of 16 MB in a file."""
    disk = tmp_path / "disk.img"
    disk.touch()
    os.truncate(disk, 16 * 2**20)
    if not run("mkfs.ext4", "-q", disk):
        pytest.skip("mkfs.ext4 is not there")
    return disk


def cut(image: Path) -> Path:
    """Copy what has reached the disk by now: what a power cut at this instant leaves."""
    copy = image.with_name(f"cut-{len(list(image.parent.iterdir()))}.img")
    shutil.copyfile(image, copy)
    return copy


def test_a_committed_folder_outlives_a_power_cut_right_after(image: Path) -> None:
    """Of the disk as it is when `commit_folder` returns, every folder committed verifies."""
    with mounted(image) as disk:
        copies = []
        for step in range(4):
            commit_folder(disk / f"step-{step}", FILES)
            copies.append(cut(image))

    for n_saved, copy in enumerate(copies, start=1):
        with mounted(copy) as disk:
            assert [verify_folder(disk / f"step-{step}") for step in range(n_saved)] == [
                FILES
            ] * n_saved


def test_a_written_file_outlives_a_power_cut_right_after(image: Path) -> None:
    """Of the disk as it is when `write_file` returns, the file has its newest content."""
    with mounted(image) as disk:
        copies = []
        for version in (b"old" * 3000, b"new" * 3000):
            write_file(disk / "config.toml", version)
            copies.append((version, cut(image)))

    for version, copy in copies:
        with mounted(copy) as disk:
            assert (disk / "config.toml").read_bytes() == version


def test_the_cut_catches_a_writer_without_fsync(image: Path) -> None:
    """Seeded fault: a temporary folder and a rename alone are lost by the cut."""
    manifest = write_manifest({name: describe(data) for name, data in FILES.items()})
    with mounted(image) as disk:
        (disk / ".tmp").mkdir()
        for name, data in (FILES | {MANIFEST: manifest}).items():
            (disk / ".tmp" / name).write_bytes(data)
        (disk / ".tmp").rename(disk / "step-0")
        assert verify_folder(disk / "step-0") == FILES
        copy = cut(image)

    with mounted(copy) as disk, pytest.raises(CheckpointError):
        verify_folder(disk / "step-0")
