"""Run by the fault tests: save checkpoints in forked children, one thread of which can be traced.

torch is imported once. Each line on stdin, `{"folder": ..., "way": ..., "thread": ...}`, forks a
child that goes from checkpoint step-1 in the folder to step-2, by afina's way or by a faulty one.
The child prints the number of the thread to trace, `{"tid": ...}`, and waits in it for a line on
stdin; a look at /afina-begin then marks, in the trace, where the save begins. At the end
`{"code": ..., "said": ...}` is printed: code 0 where the save says that all is well, 5 where it
says that it is not, -9 after a kill.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
from pathlib import Path

import torch

from afina.errors import StorageError
from afina.storage import MANIFEST, commit_folder, remove_folder
from afina.storage.manifest import describe, write_manifest
from afina.train import CheckpointPlan
from afina.train.events import EpochEvent
from afina.train.run import checkpoint
from afina.train.run.checkpoint import Keeper
from afina.train.run.metrics_log import MetricsLog
from afina.train.settings import StopSettings
from afina.train.state import TrainState
from afina.train.stopping import Stopping

PR_SET_PTRACER, ANYBODY = 0x59616D61, ctypes.c_ulong(-1)


def say(**record: object) -> None:
    """Print a record as a line, at once."""
    os.write(1, json.dumps(record).encode() + b"\n")


def hear() -> bytes:
    """Read a line, and not a byte more: the children read from the same place."""
    line = b""
    while not line.endswith(b"\n"):
        letter = os.read(0, 1)
        if not letter:
            sys.exit()
        line += letter
    return line


def pause() -> None:
    """Name this thread, and wait until it is traced."""
    say(tid=int(Path("/proc/thread-self").readlink().name))
    hear()
    os.access("/afina-begin", os.F_OK)


def save(folder: Path, step: int, *, thread: str = "") -> None:
    """Save a checkpoint of a small run, with a log, as the trainer does."""
    torch.manual_seed(step)
    keeper = Keeper(folder / "checkpoints", CheckpointPlan(keep_last=1), higher_is_better=False)
    path = folder / "metrics.jsonl"
    log = MetricsLog(path, every=1, size=path.stat().st_size if path.exists() else 0)
    state = TrainState(Stopping(StopSettings(patience=None)), step=step)
    trees = {"model": {"w": torch.randn(50)}, "optimizer": {0: torch.randn(50)}}
    extra = {"position": None, "conditions": {}, "settings": {}}

    def first() -> None:
        if thread == "background":
            pause()
        log.make_durable()

    if thread == "main":
        pause()
    log.write(EpochEvent(step, 1, 0.5))
    keeper.save(state, trees, extra | {"metrics_bytes": log.flush()}, None, first=first)
    keeper.wait()
    log.close()


def in_place(goal: Path, files: dict[str, bytes]) -> None:
    """Seeded fault: write under the final name."""
    entries = {name: describe(data) for name, data in files.items()}
    goal.mkdir()
    for name, data in {**files, MANIFEST: write_manifest(entries)}.items():
        (goal / name).write_bytes(data)


def without_fsync(goal: Path, files: dict[str, bytes]) -> None:
    """Seeded fault: a temporary name and a rename, and nothing is made durable."""
    scratch = goal.with_name(f".tmp-{goal.name}-{os.getpid()}-00000000")
    in_place(scratch, files)
    scratch.rename(goal)


def silent(goal: Path, files: dict[str, bytes]) -> None:
    """Seeded fault: the error is swallowed."""
    with contextlib.suppress(StorageError):
        commit_folder(goal, files)


def old_first(goal: Path, files: dict[str, bytes]) -> None:
    """Seeded fault: the old checkpoint is removed before the new one is there."""
    old = goal.with_name("step-00000001")
    remove_folder(old)
    commit_folder(goal, files)
    old.mkdir()  # the keeper removes it once more


def seed_fault(way: str) -> None:
    """Put a faulty way of writing in the place of afina's."""
    faults = {f.__name__: f for f in (in_place, without_fsync, silent, old_first)}
    checkpoint.commit_folder = faults.get(way, commit_folder)
    if way == "metrics_not_durable":
        MetricsLog.make_durable = lambda log: None


def child(folder: Path, way: str, thread: str) -> int:
    """Save step 2; give the exit code, having said what went wrong."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY)  # where only a parent may trace
    seed_fault(way)
    try:
        save(folder, 2, thread=thread)
    except StorageError as error:
        os.access("/afina-end", os.F_OK)
        (folder / "said.txt").write_text(str(error))
        return 5
    os.access("/afina-end", os.F_OK)
    return 0


def main() -> None:
    """Fork a child for every line on stdin."""
    while True:
        wanted = json.loads(hear())
        folder = Path(wanted["folder"])
        if wanted["way"] == "first":
            save(folder, 1)
            say(code=0, said="")
            continue
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = child(folder, wanted["way"], wanted["thread"])
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        said = folder / "said.txt"
        say(
            code=-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status),
            said=said.read_text() if said.exists() else "",
        )


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    main()
