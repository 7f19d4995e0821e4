"""Faults at every file system call of a checkpoint's save, in the thread that does it."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from afina.errors import CheckpointError
from afina.train.run.checkpoint import list_checkpoints, read_checkpoint

WRITER = [sys.executable, "-B", str(Path(__file__).with_name("checkpoint_writer.py"))]
WRITING = {"write": ("ENOSPC", "EIO", "EDQUOT"), "fsync": ("ENOSPC", "EIO", "EDQUOT")}
ERRNO = WRITING | {
    "rename": ("ENOSPC", "EIO", "EDQUOT"),
    "openat": ("EACCES",),
    "mkdir": ("EROFS",),
    "close": ("EIO",),
    "unlinkat": ("EIO",),
    "rmdir": ("EIO",),
    "getdents64": ("EIO",),
}


@dataclass(frozen=True)
class Call:
    """One system call of a save: its name, and which one of that name since it is traced."""

    name: str
    number: int
    text: str


@dataclass(frozen=True)
class End:
    """How a save ended: exit code, what it said, and the trace of it."""

    code: int
    said: str
    log: str


class Writer:
    """A process that forks children which save, and waits until they can be traced."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            WRITER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, **wanted: str) -> dict[str, Any]:
        """Write a line; read the line that answers it."""
        self.process.stdin.write(json.dumps(wanted) + "\n")
        return json.loads(self.process.stdout.readline())

    def save(self, folder: Path, way: str, thread: str, *fault: str) -> End:
        """Save step 2 with a thread traced, and a fault injected in it."""
        tid = self.ask(folder=str(folder), way=way, thread=thread)["tid"]
        log = folder / "trace"
        command = ["strace", "-y", "-s", "9999", "-o", str(log), "-p", str(tid), *fault]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        attached = tracer.stderr.readline()
        assert "attached" in attached, attached
        end = self.ask()
        tracer.communicate()
        return End(end["code"], end["said"], log.read_text())

    def end(self) -> None:
        """Let the process end."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@cache
def cannot_trace() -> str:
    """Say why a thread cannot be traced here; empty when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        tracer = subprocess.Popen(
            ["strace", "-p", str(sleeper.pid)], stderr=subprocess.PIPE, text=True
        )
        said = tracer.stderr.readline()
        sleeper.kill()
        tracer.communicate()
    return "" if "attached" in said else f"strace cannot attach here: {said.strip()}"


@pytest.fixture(scope="module")
def writer() -> Iterator[Writer]:
    """Start the process once; skip, visibly, where strace cannot be used."""
    if cannot_trace():
        pytest.skip(cannot_trace())
    made = Writer()
    yield made
    made.end()


def new_run(tmp_path: Path, writer: Writer) -> Path:
    """Make a run folder that holds checkpoint step-1."""
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    assert writer.ask(folder=str(folder), way="first", thread="")["code"] == 0
    return folder


def calls_of(tmp_path: Path, writer: Writer, way: str, thread: str) -> list[Call]:
    """List the file system calls of an undisturbed save in one of its threads, in order."""
    folder = new_run(tmp_path, writer)
    end = writer.save(folder, way, thread, "-e", "trace=%file,%desc")
    assert (end.code, judge(folder, end)) == (0, "")
    counts: Counter[str] = Counter()
    found, inside = [], False
    for line in end.log.splitlines():
        match = re.match(r"(\w+)\((.*)", line)
        if match is None:
            continue
        name, text = match.groups()
        counts[name] += 1
        if '"/afina-begin"' in text:
            inside = True
        elif '"/afina-end"' in text:
            break
        elif inside and name not in ("read", "lseek", "mmap"):
            found.append(Call(name, counts[name], text))
    return found


def strike(tmp_path: Path, writer: Writer, way: str, thread: str, call: Call, fault: str) -> str:
    """Inject one fault into a save; return what is wrong afterwards, empty when nothing is."""
    folder = new_run(tmp_path, writer)
    names = f"trace=access,faccessat,faccessat2,{call.name}"
    inject = f"inject={call.name}:{fault}:when={call.number}"
    end = writer.save(folder, way, thread, "-e", names, "-e", inject)
    begun = end.log.find('"/afina-begin"')
    assert 0 <= begun < max(end.log.rfind("INJECTED"), end.log.rfind("SIGKILL")), "it missed"
    assert end.code in (-9, 0, 5)
    return judge(folder, end)


def judge(folder: Path, end: End) -> str:
    """Say what is wrong with a run folder after a save; empty when nothing is."""
    steps = set()
    for path in list_checkpoints(folder / "checkpoints"):
        try:
            snapshot = read_checkpoint(path)
        except CheckpointError as error:
            return str(error)
        if snapshot.metrics_bytes > (folder / "metrics.jsonl").stat().st_size:
            return f"{path.name} counts more metrics than there are"
        steps.add(snapshot.state["step"])
    if not steps:
        return "no checkpoint is left"
    if end.code == 0 and steps != {2}:
        return "the save says that all is well, and it is not"
    if end.code == 5 and not (str(folder) in end.said and "bytes are free" in end.said):
        return f"the error does not name the path and the free space: {end.said}"
    return ""


def all_strikes(
    tmp_path: Path, writer: Writer, calls: list[Call], *faults: str, way: str = "afina"
) -> list[str]:
    """Strike at every call with every fault; return what was wrong."""
    return [
        f"{fault} at {call}: {wrong}"
        for call in calls
        for fault in faults
        if (wrong := strike(tmp_path, writer, way, "background", call, fault))
    ]


@pytest.mark.slow
def test_a_kill_at_any_file_system_call_leaves_a_whole_checkpoint(
    tmp_path: Path, writer: Writer
) -> None:
    """SIGKILL at every file system call of the thread that writes, the old one's removal too."""
    calls = calls_of(tmp_path, writer, "afina", "background")

    assert len(calls) >= 40
    assert {"mkdir", "write", "fsync", "rename", "unlinkat"} <= {call.name for call in calls}
    assert all_strikes(tmp_path, writer, calls, "signal=KILL") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ERRNO)
def test_an_error_at_any_file_system_call_is_said_and_leaves_a_whole_checkpoint(
    tmp_path: Path, writer: Writer, name: str
) -> None:
    """ENOSPC, EIO, EDQUOT wherever the thread writes; other errors wherever else it can fail."""
    calls = [c for c in calls_of(tmp_path, writer, "afina", "background") if c.name == name]
    faults = [f"error={error}" for error in ERRNO[name]]

    assert len(calls) >= 1
    assert all_strikes(tmp_path, writer, calls, *faults) == []


def test_the_caller_writes_metrics_only_and_says_when_it_cannot(
    tmp_path: Path, writer: Writer
) -> None:
    """What holds training up makes one call, the log's write; its errors and a kill are harmless."""
    calls = [
        call
        for call in calls_of(tmp_path, writer, "afina", "main")
        if call.name not in ("close", "fstat", "newfstatat")
    ]

    assert [call.name for call in calls] == ["write"]
    for fault in ("signal=KILL", "error=ENOSPC", "error=EIO"):
        folder = new_run(tmp_path, writer)
        inject = f"inject=write:{fault}:when={calls[0].number}"
        end = writer.save(folder, "afina", "main", "-e", "trace=access,write", "-e", inject)

        assert end.code in (-9, 5)
        assert [path.name for path in list_checkpoints(folder / "checkpoints")] == ["step-00000001"]
        assert end.code == -9 or "metrics.jsonl must be writable" in end.said


def order_problem(calls: list[Call]) -> str:
    """Say what a power cut could lose: what is not durable when the checkpoint appears."""
    dirty: set[str] = {"metrics.jsonl"}
    appeared = False
    for call in calls:
        names = [Path(text).name for text in re.findall(r'[<"]([^">]*)[">]', call.text)]
        if call.name == "mkdir" or (call.name == "openat" and "O_CREAT" in call.text):
            dirty.add(names[-1])
        elif call.name == "fsync":
            dirty.discard(names[0])
        elif call.name == "rename" and names[1] == "step-00000002":
            if dirty:
                return f"not durable when it appears: {sorted(dirty)}"
            appeared = True
            dirty.add("checkpoints")
        elif call.name == "rename" and (not appeared or dirty):
            return "the old one goes before the new one is durable"
    return "" if appeared and not dirty else "it does not become durable"


def test_everything_is_durable_before_the_rename_and_the_rename_before_a_removal(
    tmp_path: Path, writer: Writer
) -> None:
    """Metrics, every file and the folder before the new name; the new name before the old goes."""
    calls = calls_of(tmp_path, writer, "afina", "background")

    assert Counter(call.name for call in calls)["fsync"] == 9
    assert order_problem(calls) == ""


@pytest.mark.parametrize(
    ("way", "what"),
    [
        ("without_fsync", "'model.safetensors'"),
        ("metrics_not_durable", "not durable when it appears: ['metrics.jsonl']"),
        ("old_first", "the old one goes before the new one is durable"),
    ],
)
def test_the_order_check_catches(tmp_path: Path, writer: Writer, way: str, what: str) -> None:
    """Seeded faults: no fsync, metrics not durable, the old one removed first."""
    assert what in order_problem(calls_of(tmp_path, writer, way, "background"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "name", "fault", "what"),
    [
        ("in_place", "write", "signal=KILL", "MANIFEST.json' is missing"),
        ("old_first", "write", "signal=KILL", "no checkpoint is left"),
        ("silent", "write", "error=ENOSPC", "no checkpoint is left"),
    ],
)
def test_the_strikes_catch(
    tmp_path: Path, writer: Writer, way: str, name: str, fault: str, what: str
) -> None:
    """Seeded faults: a naive save in place, the old one removed first, the error swallowed."""
    calls = [c for c in calls_of(tmp_path, writer, way, "background") if c.name == name]
    found = all_strikes(tmp_path, writer, calls, fault, way=way)

    assert len([wrong for wrong in found if what in wrong]) >= 2
