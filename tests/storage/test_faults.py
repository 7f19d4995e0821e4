"""Faults at every file system call of a save: kills, errors, full disks."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import afina
from afina.errors import CheckpointError
from afina.storage import commit_folder, verify_folder

SRC = str(Path(afina.__file__).parents[1])
WRITER = str(Path(__file__).with_name("writer.py"))
PYTHON = [sys.executable, "-I", "-S", "-B", WRITER, SRC]
OLD = {"model.bin": b"1" * 8000, "state.json": b'{"generation": 1}'}
ERRNO = {
    "openat": "EACCES",
    "mkdir": "EROFS",
    "write": "ENOSPC",
    "fsync": "EIO",
    "rename": "EDQUOT",
}


@dataclass(frozen=True)
class Call:
    """One system call of a save: its name, and which one of that name in the process."""

    name: str
    number: int
    text: str


@cache
def strace_works() -> str:
    """Say why strace cannot inject faults here; empty when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    command = ["strace", "-f", "-e", "trace=mkdir", "-e", "inject=mkdir:error=EROFS", "mkdir"]
    done = subprocess.run([*command, "/dev/null/x"], capture_output=True, text=True, check=False)
    return "" if "Read-only" in done.stderr else "strace cannot inject faults here"


@pytest.fixture
def strace() -> None:
    """Skip a test, visibly, where strace cannot be used."""
    reason = strace_works()
    if reason:
        pytest.skip(reason)


def new_parent(tmp_path: Path) -> Path:
    """Make a folder that holds generation 1."""
    parent = Path(tempfile.mkdtemp(dir=tmp_path))
    commit_folder(parent / "step-1", OLD)
    return parent


def trace(parent: Path, way: str, *fault: str, names: str = "%file,%desc") -> tuple[int, str, str]:
    """Run the writer under strace; return its exit code, what it printed, and the trace."""
    log = parent.with_suffix(".log")
    command = ["strace", "-f", "-o", str(log), "-e", f"trace={names}", *fault]
    done = subprocess.run(
        [*command, *PYTHON, str(parent), way], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, log.read_text()


def calls_of(parent: Path, way: str) -> list[Call]:
    """List the file system calls of an undisturbed save, in order."""
    _, _, log = trace(parent, way)
    counts: Counter[str] = Counter()
    found, inside = [], False
    for line in log.splitlines():
        match = re.match(r"\d+ +(\w+)\((.*)", line)
        if match is None:
            continue
        name, text = match.groups()
        counts[name] += 1
        if "access" in name and "/afina-begin" in text:
            inside = True
        elif "access" in name and "/afina-end" in text:
            break
        elif inside:
            found.append(Call(name, counts[name], text))
    return found


def strike(tmp_path: Path, way: str, call: Call, fault: str) -> str:
    """Inject one fault into a save; return what is wrong afterwards, empty when nothing is."""
    parent = new_parent(tmp_path)
    names = f"trace=access,faccessat,faccessat2,{call.name}"
    code, said, log = trace(
        parent, way, "-e", names, "-e", f"inject={call.name}:{fault}:when={call.number}"
    )
    begun = re.search(r'access.*"/afina-begin"', log)
    assert begun is not None
    assert begun.end() < max(log.rfind("INJECTED"), log.rfind("SIGKILL")), "the fault missed"
    assert code in (-9, 137, 0, 5)
    return judge(parent, code, said)


def judge(parent: Path, code: int, said: str) -> str:
    """Say what is wrong with a folder of generations after a save; empty when nothing is."""
    generations = set()
    for folder in parent.iterdir():
        if folder.name.startswith(".tmp-"):
            if code in (0, 5):
                return f"{folder.name} was left behind"
            continue
        try:
            files = verify_folder(folder)
        except CheckpointError as error:
            return str(error)
        generations.add({b"1": 1, b"2": 2}[files["model.bin"][:1]])
    if not generations:
        return "no generation is left"
    if code == 0 and 2 not in generations:
        return "the writer says saved, and it is not"
    if code == 5 and not ("bytes are free" in said and str(parent) in said):
        return f"the error does not name the path and the free space: {said}"
    return ""


@pytest.mark.usefixtures("strace")
def test_a_kill_at_any_file_system_call_leaves_the_old_and_a_whole_or_no_new_folder(
    tmp_path: Path,
) -> None:
    """A SIGKILL at every file system call of a save breaks nothing."""
    calls = calls_of(new_parent(tmp_path), "afina")

    assert len(calls) >= 20
    assert {"mkdir", "write", "fsync", "rename"} <= {call.name for call in calls}
    assert [""] * len(calls) == [strike(tmp_path, "afina", call, "signal=KILL") for call in calls]


@pytest.mark.usefixtures("strace")
def test_an_error_at_any_file_system_call_is_reported_and_leaves_nothing_half_written(
    tmp_path: Path,
) -> None:
    """EACCES, EROFS, ENOSPC, EIO and EDQUOT wherever a call can fail: old intact, error said."""
    calls = [call for call in calls_of(new_parent(tmp_path), "afina") if call.name in ERRNO]
    found = [strike(tmp_path, "afina", c, f"error={ERRNO[c.name]}") for c in calls]

    assert len(calls) >= 14
    assert [""] * len(calls) == found


@pytest.mark.parametrize("way", ["in_place", "in_place_under_a_new_name"])
@pytest.mark.usefixtures("strace")
def test_the_kills_catch_a_writer_that_writes_in_place(tmp_path: Path, way: str) -> None:
    """Seeded fault: writing under the final name is caught, so the kills can catch something."""
    calls = [c for c in calls_of(new_parent(tmp_path), way) if c.name in ("write", "close")]
    found = [strike(tmp_path, way, call, "signal=KILL") for call in calls]

    assert len([what for what in found if what]) >= 4


@pytest.mark.usefixtures("strace")
def test_the_errors_catch_a_writer_that_swallows_them(tmp_path: Path) -> None:
    """Seeded fault: a save that fails silently is caught."""
    calls = [c for c in calls_of(new_parent(tmp_path), "silent") if c.name == "write"]
    found = {strike(tmp_path, "silent", call, "error=ENOSPC") for call in calls}

    assert {"the writer says saved, and it is not"} == found


def order_problem(calls: list[Call]) -> str:
    """Say what a power cut could lose: what was written but not synced before the rename."""
    dirty: set[str] = set()
    open_files: dict[str, str] = {}
    renamed = ""
    for call in calls:
        if call.name == "openat" and (match := re.search(r'"([^"]+)".*= (\d+)', call.text)):
            open_files[match[2]] = match[1]
            if "O_CREAT" in call.text:
                dirty |= {match[1], str(Path(match[1]).parent)}
        elif call.name == "write":
            dirty.add(open_files[call.text.split(",")[0]])
        elif call.name == "fsync":
            dirty.discard(open_files[call.text.split(")")[0]])
        elif call.name == "rename":
            if dirty:
                return f"{len(dirty)} files or folders are not durable at the rename"
            renamed = str(Path(call.text.split('"')[3]).parent)
            dirty.add(renamed)
    return "the rename is not durable" if renamed in dirty else ""


@pytest.mark.usefixtures("strace")
def test_everything_is_durable_before_the_rename_and_the_rename_after_it(tmp_path: Path) -> None:
    """Each file and the folder are synced before the rename, the parent after it."""
    calls = calls_of(new_parent(tmp_path), "afina")

    assert Counter(call.name for call in calls)["fsync"] == 5
    assert order_problem(calls) == ""


@pytest.mark.usefixtures("strace")
def test_the_order_check_catches_a_writer_without_fsync(tmp_path: Path) -> None:
    """Seeded fault: a temporary name and a rename alone are caught."""
    found = order_problem(calls_of(new_parent(tmp_path), "without_fsync"))

    assert "not durable at the rename" in found


def test_a_file_size_limit_is_reported_and_leaves_the_old_folder(tmp_path: Path) -> None:
    """A real limit (RLIMIT_FSIZE) in the middle of a file: EFBIG, exit 5, old intact."""
    parent = new_parent(tmp_path)
    limited = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *PYTHON, str(parent), "afina"]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)

    assert done.returncode == 5
    assert "EFBIG" in done.stdout
    assert judge(parent, done.returncode, done.stdout) == ""


def test_a_full_disk_is_reported_and_leaves_the_old_folder(tmp_path: Path) -> None:
    """A real full disk (a tmpfs of 64 KiB) fails the save, keeps the old, and leaves nothing."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a tmpfs needs root")
    try:
        commit_folder(disk / "step-1", OLD)
        (disk / "filler").write_bytes(b"0" * (64 - 12 - 12 - 4) * 1024)
        done = subprocess.run(
            [*PYTHON, str(disk), "afina"], capture_output=True, text=True, check=False
        )
        (disk / "filler").unlink()

        assert done.returncode == 5
        assert "ENOSPC" in done.stdout
        assert judge(disk, done.returncode, done.stdout) == ""
    finally:
        subprocess.run(["umount", str(disk)], check=True)
