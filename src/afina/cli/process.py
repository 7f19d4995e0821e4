"""When the command started, and whether this process is the one that prints."""

import os
import time

BEGAN = time.monotonic()
"""The time at which the command line was loaded, before any slow import."""


def is_first_process() -> bool:
    """Return whether this process prints: the only process, or the first one of a launcher.

    The rule is the same as in `afina.train.processes.current_processes`, without loading torch.
    """
    is_launched = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
    return not is_launched or os.environ["WORLD_SIZE"] == "1" or os.environ["RANK"] == "0"
