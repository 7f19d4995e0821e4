"""When the command started, and whether this process is the one that prints."""

import os
import time

BEGAN = time.monotonic()
"""The time at which the command line was loaded, before anything slow."""


def is_first_process() -> bool:
    """Return whether this process prints: the only one, or the first that a launcher started.

    The rule is the same as in `afina.train.processes.current_processes`, without loading torch.
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    launched = all(name in os.environ for name in names) and os.environ["WORLD_SIZE"] != "1"
    return not launched or os.environ["RANK"] == "0"
