"""Run by the tests of hostile checkpoints: read each in a child of its own, and watch it.

    python hostile_reader.py GOOD [--careless] < paths

Each line on stdin is a checkpoint's path, each line on stdout what came of it: the error, what an
audit hook saw that a reader must not do, processor time, and peak memory above what was there.
The child may use twenty-five times the processor time that reading a million numbers and hashing
100 MB take here, and twice the checkpoint's size and 64 MB of memory.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import resource
import sys
from pathlib import Path

from afina.errors import CheckpointError
from afina.train import CheckpointPlan
from afina.train.run.checkpoint import Keeper, read_checkpoint, read_newest

FORBIDDEN = re.compile(
    r"pickle\.find_class|exec|compile|import|subprocess\.Popen|os\.(system|exec|posix_spawn|fork)"
    r"|ctypes\..*|socket\..*|shutil\..*|os\.(remove|rename|mkdir|rmdir|link|symlink|truncate)"
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
TIMES_HONEST = 25


def figure(name: str) -> int:
    """Read a figure of this process's memory, in bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024


def watch(seen: list[str]) -> None:
    """Note from now on what a reader must not do."""

    def hook(event: str, args: tuple) -> None:
        if FORBIDDEN.fullmatch(event) or (event == "open" and (args[2] or 0) & WRITES):
            seen.append(f"{event} {args!r:.200}")

    sys.addaudithook(hook)


def read(path: Path) -> None:
    """Read a checkpoint in each of the ways that a resume does."""
    said = ""
    try:
        read_checkpoint(path)
    except CheckpointError as caught:
        said = str(caught)  # the error itself would keep what was read
    _, passed_over = read_newest(path.parent)
    Keeper(path.parent, CheckpointPlan(), higher_is_better=False)
    if said:
        assert len(passed_over) == 1
        raise CheckpointError(said)


def careless(path: Path) -> None:
    """Seeded fault: read as most do."""
    import torch

    with (path / "model.safetensors").open("rb") as file:
        torch.load(file, weights_only=False)


def report(path: Path, way, allowed_s: int) -> dict[str, object]:
    """Read a checkpoint; say what came of it."""
    size = sum(p.lstat().st_blocks * 512 for p in path.iterdir())
    allowed = 2 * size + 64 * 2**20
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = figure("VmHWM")
    resource.setrlimit(resource.RLIMIT_CPU, (allowed_s, allowed_s))
    resource.setrlimit(resource.RLIMIT_AS, (figure("VmSize") + allowed,) * 2)
    seen: list[str] = []
    watch(seen)
    error, said = "", ""
    try:
        way(path)
    except Exception as caught:  # noqa: BLE001 - which one it is, is what is asked
        error, said = type(caught).__name__, str(caught)
    return {
        "error": error,
        "said": said,
        "acts": list(seen),
        "cpu_s": time_used(),
        "bytes": size,
        "peak": figure("VmHWM") - before,
    }


def time_used() -> float:
    """Return this process's processor time in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def honest_s() -> float:
    """Give the processor time that reading a million numbers and hashing 100 MB take here."""
    began = time_used()
    json.loads(b"[" + b"0," * 999_999 + b"0]")
    hashlib.sha256(b"1" * 100_000_000).digest()
    return time_used() - began


def main() -> None:
    """Fork a child for every path."""
    allowed_s = math.ceil(TIMES_HONEST * min(honest_s() for _ in range(3)))
    good = Path(sys.argv[1])
    way = careless if "--careless" in sys.argv else read
    read(good)
    with contextlib.suppress(CheckpointError):
        read_checkpoint(good.parent)
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        pid = os.fork()
        if pid == 0:
            print(json.dumps(report(path, way, allowed_s)), flush=True)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        if status:
            print(json.dumps({"error": f"status {status}", "said": "", "acts": []}), flush=True)


if __name__ == "__main__":
    main()
