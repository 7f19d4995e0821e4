"""Run work in a background thread without losing its errors."""

import threading
from collections.abc import Callable


class Background:
    """Do one piece of work at a time in the background.

    An error in it is raised once, in the caller's thread, by the next `start`, `check` or `wait`.

    This is not a `ThreadPoolExecutor`, whose worker stays alive between two pieces of work. So each
        fork by a `DataLoader` would fork a process with threads (a warning since Python 3.12); and
        in a forked child, which does not have the worker, its future would never complete, so
        `wait` would hang.

    Example:
        >>> done = []
        >>> work = Background()
        >>> work.start(lambda: done.append("written"))
        >>> work.wait()
        >>> done
        ['written']
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Wait for the previous piece of work, and start another."""
        self.wait()
        # Not a daemon: the interpreter waits for this thread before it exits.
        self._thread = threading.Thread(target=self._run, args=(work,), name="afina-checkpoint")
        self._thread.start()

    def check(self) -> None:
        """Raise the error of work that has ended; do not wait for unfinished work."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Wait until the work has ended, and raise its error."""
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._error = error
