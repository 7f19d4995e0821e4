"""One writer, whoever died before."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import afina
from afina.errors import LockedError, StorageError
from afina.storage import lock_folder

SRC = str(Path(afina.__file__).parents[1])
HOLD = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from afina.storage.lock import lock_folder
with lock_folder(Path(sys.argv[2])):
    if "fork" in sys.argv and os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(60)
    elif "fork" not in sys.argv:
        print("held", flush=True)
    sys.stdin.read()
"""
RACE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from afina.errors import LockedError
from afina.storage.lock import lock_folder
folder, won, named = Path(sys.argv[2]), 0, 0
for _ in range(200):
    try:
        with lock_folder(folder):
            (folder / "mine").touch(exist_ok=False)  # fails where two are inside at once
            (folder / "mine").unlink()
            won += 1
    except LockedError as error:
        named += 1
print(won, named)
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python process without torch; its standard streams are pipes."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, SRC, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process and close its pipes."""
    process.kill()
    process.communicate()


def test_a_second_writer_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    """While another process holds the folder, LockedError names that process."""
    holder = start(HOLD, str(tmp_path))
    assert holder.stdout.readline() == "held\n"
    try:
        with (
            pytest.raises(LockedError, match=f"in use by process {holder.pid}\\."),
            lock_folder(tmp_path),
        ):
            pass
    finally:
        end(holder)


def test_the_lock_of_a_killed_process_does_not_block(tmp_path: Path) -> None:
    """After SIGKILL the folder is free at once, whatever `.lock` still says."""
    holder = start(HOLD, str(tmp_path))
    holder.stdout.readline()
    end(holder)

    assert f"{holder.pid}\n" == (tmp_path / ".lock").read_text()
    with lock_folder(tmp_path):
        assert f"{os.getpid()}\n" == (tmp_path / ".lock").read_text()


def test_a_child_that_outlives_its_killed_parent_does_not_keep_the_folder(tmp_path: Path) -> None:
    """A forked worker (of a data loader, say) does not hold the lock of the killed run."""
    holder = start(HOLD, str(tmp_path), "fork")
    child = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    try:
        os.kill(child, 0)  # still there
        with lock_folder(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        holder.communicate()


def test_the_same_process_cannot_take_it_twice(tmp_path: Path) -> None:
    """A second lock in one process is refused, and the first still holds afterwards."""
    with lock_folder(tmp_path):
        for _ in range(2):
            with (
                pytest.raises(LockedError, match=f"process {os.getpid()}"),
                lock_folder(tmp_path),
            ):
                pass
    with lock_folder(tmp_path):
        pass


def test_an_exception_frees_the_folder(tmp_path: Path) -> None:
    """Leaving by an exception frees the folder."""
    with pytest.raises(KeyError), lock_folder(tmp_path):
        raise KeyError

    with lock_folder(tmp_path):
        pass


def test_of_three_writers_one_is_inside_at_a_time(tmp_path: Path) -> None:
    """In 600 attempts of 3 processes never two are inside, and each gets in or is refused."""
    racers = [start(RACE, str(tmp_path)) for _ in range(3)]
    counts = [[int(n) for n in racer.communicate()[0].split()] for racer in racers]

    assert [racer.returncode for racer in racers] == [0] * 3
    assert [won + refused for won, refused in counts] == [200] * 3
    assert sum(won for won, _ in counts) >= 1


def test_a_folder_that_cannot_be_locked_is_an_error(tmp_path: Path) -> None:
    """A missing folder and a link in the lock's place are errors that name the path."""
    with (
        pytest.raises(StorageError, match="none could not be locked"),
        lock_folder(tmp_path / "none"),
    ):
        pass

    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="could not be locked"), lock_folder(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()
