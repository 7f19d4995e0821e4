"""Folders and files are written whole."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from afina.errors import StorageError
from afina.storage import (
    commit_folder,
    make_folder,
    remove_folder,
    sweep,
    sync_file,
    verify_folder,
    write_file,
)

FILES = {"a.bin": b"\x00\x01" * 500, "empty": b"", "state.json": b"{}"}


def names_in(folder: Path) -> list[str]:
    """List what is in a folder, by name."""
    return sorted(path.name for path in folder.iterdir())


def dead_pid() -> int:
    """Return the number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    done.wait()
    return done.pid


def test_what_is_committed_is_read_back(tmp_path: Path) -> None:
    """A committed folder verifies and holds the bytes it was given, and nothing beside it."""
    commit_folder(tmp_path / "step-1", FILES)

    assert verify_folder(tmp_path / "step-1") == FILES
    assert names_in(tmp_path) == ["step-1"]


def test_files_follow_the_umask(tmp_path: Path) -> None:
    """Folder and files are readable to whom the umask says, as other programs' are."""
    umask = os.umask(0o027)
    try:
        commit_folder(tmp_path / "step-1", FILES)
    finally:
        os.umask(umask)

    assert stat.S_IMODE((tmp_path / "step-1").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "step-1" / "a.bin").stat().st_mode) == 0o640


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_an_existing_goal_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """A folder, file or dangling link at the goal is never replaced."""
    make(tmp_path / "goal")
    before = (tmp_path / "goal").lstat()

    with pytest.raises(StorageError, match="goal already exists"):
        commit_folder(tmp_path / "goal", FILES)

    assert before.st_ino == (tmp_path / "goal").lstat().st_ino
    assert names_in(tmp_path) == ["goal"]


@pytest.mark.parametrize(
    "name", ["../a", "a/b", "a\\b", "/a", "", ".", "..", ".a", "MANIFEST.json"]
)
def test_file_names_are_plain(tmp_path: Path, name: str) -> None:
    """A name that could leave the folder, hide, or stand for the manifest is refused."""
    with pytest.raises(ValueError, match="plain name"):
        commit_folder(tmp_path / "goal", {name: b""})

    assert names_in(tmp_path) == []


def test_a_missing_parent_is_an_error_with_path_reason_and_code(tmp_path: Path) -> None:
    """The message names the path, the reason and its code; errno is kept."""
    with pytest.raises(StorageError, match=r"none/goal must be written.*ENOENT") as caught:
        commit_folder(tmp_path / "none" / "goal", FILES)

    assert caught.value.errno == 2
    assert caught.value.exit_code == 5


def test_an_interrupt_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ctrl-C while writing removes what was begun and goes on upwards."""

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        commit_folder(tmp_path / "goal", FILES)

    assert names_in(tmp_path) == []


def test_an_error_after_the_rename_means_that_nothing_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the parent cannot be made durable, the folder is taken back and the error said."""
    calls = []

    def last_fails(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == len(FILES) + 3:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", last_fails)
    with pytest.raises(StorageError, match="EIO"):
        commit_folder(tmp_path / "goal", FILES)

    assert names_in(tmp_path) == []


def test_writing_a_file_replaces_it(tmp_path: Path) -> None:
    """A file is replaced by the new content; nothing else appears."""
    write_file(tmp_path / "config.toml", b"old")
    write_file(tmp_path / "config.toml", b"new")

    assert (tmp_path / "config.toml").read_bytes() == b"new"
    assert names_in(tmp_path) == ["config.toml"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the new content cannot be made durable, the old file is still there."""
    write_file(tmp_path / "config.toml", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="ENOSPC"):
        write_file(tmp_path / "config.toml", b"new")

    assert (tmp_path / "config.toml").read_bytes() == b"old"
    assert names_in(tmp_path) == ["config.toml"]


def test_a_removed_folder_is_gone(tmp_path: Path) -> None:
    """A removed folder is gone, and one that is not there is an error."""
    commit_folder(tmp_path / "step-1", FILES)
    remove_folder(tmp_path / "step-1")

    assert names_in(tmp_path) == []
    with pytest.raises(StorageError, match="removed"):
        remove_folder(tmp_path / "step-1")


def test_a_folder_half_removed_does_not_look_like_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removal that is cut off leaves a temporary name, which the next sweep takes."""
    commit_folder(tmp_path / "step-1", FILES)

    def cut_off(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", cut_off)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(tmp_path / "step-1")
    monkeypatch.undo()

    assert not (tmp_path / "step-1").exists()
    assert len(sweep(tmp_path)) == 1
    assert names_in(tmp_path) == []


def test_a_made_folder_is_durable_with_those_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder that is made is followed by an fsync of the one it is in; one there is left."""
    synced = []
    really_sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    for _ in range(2):
        make_folder(tmp_path / "runs" / "a" / "checkpoints")

    assert synced == [tmp_path, tmp_path / "runs", tmp_path / "runs" / "a"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """A file in the folder's place, or in a parent's, is named with its code."""
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match=r"file must be made.*EEXIST"):
        make_folder(tmp_path / "file")
    with pytest.raises(StorageError, match=r"ENOTDIR"):
        make_folder(tmp_path / "file" / "in")


def test_an_open_file_that_cannot_be_made_durable_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing fsync of a file that is appended to is named with path and code."""

    def failing(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with (tmp_path / "metrics.jsonl").open("wb") as file:
        sync_file(file.fileno(), tmp_path / "metrics.jsonl")
        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(StorageError, match=r"metrics.jsonl must be written.*EIO"):
            sync_file(file.fileno(), tmp_path / "metrics.jsonl")


def test_the_sweep_takes_leftovers_of_the_dead_and_nothing_else(tmp_path: Path) -> None:
    """Leftovers of ended writers and of this number go; a living writer's and other files stay."""
    gone = [f".tmp-step-1-{dead_pid()}-0123abcd", f".tmp-step-2-{os.getpid()}-0123abcd"]
    kept = [f".tmp-step-3-{os.getppid()}-0123abcd", ".tmp-mine", "step-4", ".tmp-x-1-nothex"]
    for name in gone + kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / f".tmp-config.toml-{dead_pid()}-0123abcd").touch()

    assert len(sweep(tmp_path)) == 3
    assert sorted(kept) == names_in(tmp_path)


def test_the_sweep_does_not_follow_links(tmp_path: Path) -> None:
    """A link named like a leftover is removed itself; what it points to stays."""
    (tmp_path / "parent").mkdir()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / "parent" / f".tmp-x-{dead_pid()}-0123abcd").symlink_to(tmp_path / "precious")

    sweep(tmp_path / "parent")

    assert names_in(tmp_path / "parent") == []
    assert names_in(tmp_path / "precious") == ["file"]


def test_writing_needs_no_torch() -> None:
    """Storage imports without torch, so that a command that only looks at files starts fast."""
    code = "import sys, afina.storage; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False False\n"
