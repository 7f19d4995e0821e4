"""When the command started, and whether this process is the one that prints."""

import contextlib
import os
import time
from pathlib import Path

_LOADED = time.monotonic()
_LONGEST_START_S = 120.0


def process_start() -> float:
    """Return the `time.monotonic()` at which this process started.

    The time that Python takes to start and to import modules then counts, because users wait for it
    too. Where the system does not report the start (Linux does), return the time at which this
    module was loaded.
    """
    now = time.monotonic()
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        # The 22nd field, counted after the name in parentheses, which may hold spaces.
        ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        if now - _LOADED <= age <= _LONGEST_START_S:
            return now - age
    return _LOADED


def is_first_process() -> bool:
    """Return whether this process prints: it is the only one, or a launcher's first one.

    The rule is the same as in `afina.train.processes.current_processes`, without loading torch.
    """
    is_launched = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
    return not is_launched or os.environ["WORLD_SIZE"] == "1" or os.environ["RANK"] == "0"
