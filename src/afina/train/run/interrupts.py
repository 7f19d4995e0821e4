"""SIGINT and SIGTERM: the first stops the run after the current step, the second stops it at once.

Without a run folder, only Ctrl-C is handled, and only where Python itself would handle it.
"""

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

    def leave_if_asked(self, *, step: int, saved_in: Path | None) -> None:
        """Raise `Interrupted` if a signal requested a stop.

        Args:
            step: number of optimizer steps taken.
            saved_in: the checkpoint that holds the state. None: there is no run folder.
        """
        if self.signum is not None:
            name = signal.Signals(self.signum).name
            saved = "no state was saved" if saved_in is None else f"its state is in {saved_in}"
            raise Interrupted(f"{name} stopped the run after step {step}; {saved}.", self.signum)


@contextmanager
def stop_requests(*, saves: bool, alone: bool = True) -> Iterator[StopRequest]:
    """Turn signals into a request that the loop reads between steps.

    Outside the main thread, where Python allows no handlers, signals keep their usual effect.

    Args:
        saves: whether there is a run folder. If not, SIGTERM keeps its usual effect, and so does
            SIGINT unless it would raise a KeyboardInterrupt; a second one raises it.
        alone: whether there is only one process. If not, a run without a folder has no handlers.
    """
    request = StopRequest()
    signals = _handled(saves=saves, alone=alone)

    def on_signal(signum: int, frame: FrameType | None) -> None:
        if request.signum is not None:
            if not saves:
                signal.default_int_handler(signum, frame)
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        request.signum = signum

    before = {signum: signal.signal(signum, on_signal) for signum in signals}
    try:
        yield request
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _handled(*, saves: bool, alone: bool) -> tuple[signal.Signals, ...]:
    if threading.current_thread() is not threading.main_thread():
        return ()
    if saves:
        return SIGNALS
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return (signal.SIGINT,) if alone and usual else ()
