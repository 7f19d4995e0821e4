"""When the command began, and which of several processes this is; the first alone speaks."""

import os
import time

BEGAN = time.monotonic()
"""When the command line was loaded, before anything that takes time."""


def is_first_process() -> bool:
    """Tell whether this process speaks: the only one, or the first that a launcher started.

    The rule is that of `afina.train.processes.current_processes`, without loading torch.
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    launched = all(name in os.environ for name in names) and os.environ["WORLD_SIZE"] != "1"
    return not launched or os.environ["RANK"] == "0"
