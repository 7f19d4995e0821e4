"""Calls that take turns: each runs to the next meeting, where all must arrive before any continues.

The forward pass of any module can be paused halfway by running it in its own thread. Only one of
the threads runs at a time, and their order is fixed, so that nothing depends on the scheduler.
"""

import contextvars
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from afina.errors import ConfigError

T = TypeVar("T")
END = "its end"
_LOOK_EVERY_S = 0.5


class Lockstep(Generic[T]):
    """Run calls in turn; at a meeting, the last one to arrive joins the parts of all.

    Args:
        calls: the functions to run.
        begin_turn: called with a call's number, in its thread, whenever it starts or continues.

    Example:
        >>> add = lambda parts: [sum(parts)] * len(parts)
        >>> steps = Lockstep([lambda: steps.meet("sum", 1, add), lambda: steps.meet("sum", 2, add)])
        >>> steps.run()
        [3, 3]
    """

    def __init__(
        self, calls: Sequence[Callable[[], T]], begin_turn: Callable[[int], None] = lambda _: None
    ) -> None:
        self._calls = calls
        self._begin_turn = begin_turn
        self._turn = 0
        self._parts: list[Any] = [None] * len(calls)
        self._place = END
        self._results: dict[int, T] = {}
        self._error: BaseException | None = None
        self._stopped = False
        self._batons = [threading.Lock() for _ in calls]
        self._over = threading.Lock()

    def run(self) -> list[T]:
        """Run all calls; return their results in order.

        Raises:
            ConfigError: two calls arrived at different meetings.
            BaseException: the error of the first call that failed, after every thread has ended.
        """
        for lock in (*self._batons, self._over):
            lock.acquire()
        threads = [
            threading.Thread(
                target=contextvars.copy_context().run, args=(self._live, number), daemon=True
            )
            for number in range(len(self._calls))
        ]
        try:
            for thread in threads:
                thread.start()
            self._batons[0].release()
            # An interrupt is raised here, in the caller's thread. One that comes just before the
            # lock blocks would wake nobody, so the wait is renewed at intervals, which lets Python
            # notice it.
            while not self._over.acquire(timeout=_LOOK_EVERY_S):
                pass
        finally:
            self._stopped = True
            # First the running thread, which stops at its next meeting; then the waiting ones.
            for number in sorted(range(len(threads)), key=lambda i: i != self._turn):
                if threads[number].ident is not None:
                    if self._batons[number].locked():
                        self._batons[number].release()
                    threads[number].join()
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error  # its traceback leads here: a cycle would keep all tensors in memory
        return [self._results[number] for number in range(len(self._calls))]

    def meet(self, place: str, part: Any, join: Callable[[list[Any]], Sequence[Any]]) -> Any:
        """Wait until every call has arrived; return this call's share of the joined parts.

        Args:
            place: name of the meeting, the same for all calls.
            part: the part that this call brings.
            join: maps all parts, in order, to all shares; the last call runs it.
        """
        number = self._turn
        self._arrive(place)
        self._parts[number] = part
        del part
        if number == len(self._calls) - 1:
            parts, self._parts = self._parts, [None] * len(self._calls)
            self._parts = list(join(parts))
            del parts
        self._pass_on()
        self._wait(number)
        share, self._parts[number] = self._parts[number], None
        return share

    def _live(self, number: int) -> None:
        try:
            self._wait(number)
            result = self._calls[number]()
            self._arrive(END)
            self._results[number] = result
        except _Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            if self._error is None:
                self._error = error
            self._stopped = True
        self._pass_on()

    def _arrive(self, place: str) -> None:
        """Raise unless a call arrives at the same place as the calls before it."""
        if self._stopped:
            raise _Stopped
        if self._turn == 0:
            self._place = place
        elif place != self._place:
            raise ConfigError(
                "every micro-batch must pass through the same batch normalizations in the same order",
                but=f"micro-batch 1 reached {self._place} when micro-batch {self._turn + 1} "
                f"reached {place}",
                fix='Use batchnorm="microbatch".',
            )

    def _pass_on(self) -> None:
        number = self._turn + 1
        if self._stopped or (number == len(self._calls) and self._place == END):
            if self._over.locked():
                self._over.release()
        else:
            self._batons[number % len(self._calls)].release()

    def _wait(self, number: int) -> None:
        self._batons[number].acquire()
        if self._stopped:
            raise _Stopped
        self._turn = number
        self._begin_turn(number)


class _Stopped(BaseException):
    """Raised to end a call after another one failed."""
