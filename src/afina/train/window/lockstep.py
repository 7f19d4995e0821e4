"""Calls that run in turns, each to the next meeting, where all arrive before any goes on.

A forward pass of any module is stopped in its middle by running it on a thread of its own. Only one
of the threads runs at a time, and their order is fixed, so that nothing depends on the scheduler.
"""

import contextvars
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from afina.errors import ConfigError

T = TypeVar("T")
END = "its end"


class Lockstep(Generic[T]):
    """Run calls in turns; at a meeting, the last to arrive joins what all have brought.

    Args:
        calls: what to run.
        begin_turn: called with a call's number, on its thread, whenever it starts or goes on.

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
        """Run all calls; give their results in order.

        Raises:
            ConfigError: two calls met at different places.
            BaseException: what the first call that failed raised; every thread has ended by then.
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
            self._over.acquire()  # an interrupt is raised here, in the caller's thread
        finally:
            self._stopped = True
            # First the one that runs, which stops at its next meeting; then those that wait.
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
                del error  # its traceback leads here: a circle would keep all tensors in memory
        return [self._results[number] for number in range(len(self._calls))]

    def meet(self, place: str, part: Any, join: Callable[[list[Any]], Sequence[Any]]) -> Any:
        """Wait until every call has come here; give this call's share of what was joined.

        Args:
            place: where this is; the same for all calls.
            part: what this call brings.
            join: all parts, in order, to all shares; run by the last call.
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
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            if self._error is None:
                self._error = error
            self._stopped = True
        self._pass_on()

    def _arrive(self, place: str) -> None:
        """Check that a call comes to where the calls before it are."""
        if self._stopped:
            raise _Stopped
        if self._turn == 0:
            self._place = place
        elif place != self._place:
            raise ConfigError(
                "Every micro-batch must pass the same batch normalizations in the same order, "
                f"however: micro-batch 1 came to {self._place} when micro-batch "
                f'{self._turn + 1} came to {place}. Use batchnorm="microbatch".'
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
    """Ends a call because another one failed."""
