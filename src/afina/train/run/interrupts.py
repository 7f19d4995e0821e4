"""SIGINT and SIGTERM: the first stops the run after the step, the second stops it at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from afina.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """The signal that requested a stop, if any."""

    signum: int | None = None

    def leave_if_asked(self, *, step: int, saved_in: Path) -> None:
        """Raise `Interrupted` if a signal requested a stop.

        Args:
            step: number of optimizer steps taken.
            saved_in: the checkpoint that holds the state.
        """
        if self.signum is not None:
            name = signal.Signals(self.signum).name
            raise Interrupted(
                f"{name} stopped the run after step {step}; its state is in {saved_in}.",
                self.signum,
            )


@contextmanager
def stop_requests(*, active: bool) -> Iterator[StopRequest]:
    """Turn signals into a request that the loop reads between steps.

    Args:
        active: whether there is something to save. If not, signals keep their usual effect, as they
            do outside the main thread, where Python allows no handlers.
    """
    request = StopRequest()
    if not active or threading.current_thread() is not threading.main_thread():
        yield request
        return

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        if request.signum is not None:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        request.signum = signum

    before = {signum: signal.signal(signum, on_signal) for signum in SIGNALS}
    try:
        yield request
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
