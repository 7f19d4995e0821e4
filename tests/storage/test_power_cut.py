"""What was said to be saved is there after a power cut."""

import os
from typing import TYPE_CHECKING

import pytest

from afina.errors import CheckpointError
from afina.storage import commit_folder, verify_folder, write_file
from afina.storage.manifest import MANIFEST, describe, write_manifest

if TYPE_CHECKING:
    from conftest import DiskImage

FILES = {"model.bin": os.urandom(70_000), "state.json": b"{}"}


def test_a_committed_folder_outlives_a_power_cut_right_after(image: "DiskImage") -> None:
    """Of the disk as it is when `commit_folder` returns, every folder committed verifies."""
    with image.mounted() as disk:
        copies = []
        for step in range(4):
            commit_folder(disk / f"step-{step}", FILES)
            copies.append(image.cut())

    for n_saved, copy in enumerate(copies, start=1):
        with copy.mounted() as disk:
            assert [verify_folder(disk / f"step-{step}") for step in range(n_saved)] == [
                FILES
            ] * n_saved


def test_a_written_file_outlives_a_power_cut_right_after(image: "DiskImage") -> None:
    """Of the disk as it is when `write_file` returns, the file has its newest content."""
    with image.mounted() as disk:
        copies = []
        for version in (b"old" * 3000, b"new" * 3000):
            write_file(disk / "config.toml", version)
            copies.append((version, image.cut()))

    for version, copy in copies:
        with copy.mounted() as disk:
            assert (disk / "config.toml").read_bytes() == version


def test_the_cut_catches_a_writer_without_fsync(image: "DiskImage") -> None:
    """Seeded fault: a temporary folder and a rename alone are lost by the cut."""
    manifest = write_manifest({name: describe(data) for name, data in FILES.items()})
    with image.mounted() as disk:
        (disk / ".tmp").mkdir()
        for name, data in (FILES | {MANIFEST: manifest}).items():
            (disk / ".tmp" / name).write_bytes(data)
        (disk / ".tmp").rename(disk / "step-0")
        assert verify_folder(disk / "step-0") == FILES
        copy = image.cut()

    with copy.mounted() as disk, pytest.raises(CheckpointError):
        verify_folder(disk / "step-0")
