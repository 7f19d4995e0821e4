"""Work in a thread of its own, whose errors are never lost."""

import threading
from collections.abc import Callable


class Background:
    """Do one piece of work at a time beside the caller.

    What goes wrong in it is raised in the caller's thread, at the next `start`, `check` or `wait`,
    and once.

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
        """Begin a piece of work; the one before is waited for."""
        self.wait()
        # Not a daemon: an interpreter that ends waits for it.
        self._thread = threading.Thread(target=self._run, args=(work,), name="afina-checkpoint")
        self._thread.start()

    def check(self) -> None:
        """Raise what went wrong in work that has ended; do not wait for work that goes on."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Wait until the work has ended; raise what went wrong in it."""
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
