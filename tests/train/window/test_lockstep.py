"""Calls in lockstep: their order, their meetings, and how they end."""

import signal
import threading
import time

import pytest

from afina.errors import ConfigError
from afina.train.window.lockstep import Lockstep


def total(parts: list[int]) -> list[int]:
    return [sum(parts)] * len(parts)


def test_order_is_fixed() -> None:
    """One call runs at a time, in order, each to its next meeting; all get their shares."""
    log: list[tuple[int, str]] = []

    def call(number: int) -> int:
        log.append((number, "start"))
        first = steps.meet("a", number + 1, total)
        log.append((number, f"a {first}"))
        second = steps.meet("b", first * number, lambda parts: parts[::-1])
        log.append((number, f"b {second}"))
        return second

    steps = Lockstep([lambda n=n: call(n) for n in range(3)])

    assert steps.run() == [12, 6, 0]
    assert log == [
        *((n, "start") for n in range(3)),
        *((n, "a 6") for n in range(3)),
        *((n, f"b {12 - 6 * n}") for n in range(3)),
    ]


def test_begin_turn() -> None:
    """Whenever a call starts or continues, its number is passed on."""
    turns: list[int] = []
    steps = Lockstep([lambda: steps.meet("a", 1, total) for _ in range(2)], turns.append)
    steps.run()

    assert turns == [0, 1, 0, 1]


@pytest.mark.parametrize("n_calls", [1, 5])
def test_no_meeting(n_calls: int) -> None:
    """Calls that never meet run one after another."""
    assert Lockstep([lambda n=n: n for n in range(n_calls)]).run() == list(range(n_calls))


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("after", [False, True])
def test_the_error_comes_out_and_all_threads_end(failing: int, kind: type, after: bool) -> None:
    """The error of a call is raised itself; the other calls unwind, and no thread remains."""
    unwound: list[int] = []
    error = kind("this one")
    n_threads = threading.active_count()

    def call(number: int) -> None:
        try:
            if after:
                steps.meet("a", 1, total)
            if number == failing:
                raise error
            steps.meet("b", 1, total)
        finally:
            unwound.append(number)

    steps = Lockstep([lambda n=n: call(n) for n in range(3)])
    with pytest.raises(kind) as caught:
        steps.run()

    assert caught.value is error
    assert threading.active_count() == n_threads
    assert sorted(unwound) == [n for n in range(3) if after or n <= failing]


def test_an_error_in_the_join_comes_out() -> None:
    """An error in the join is raised, too."""

    def join(parts: list[int]) -> list[int]:
        raise ArithmeticError("in the join")

    steps = Lockstep([lambda: steps.meet("a", 1, join) for _ in range(2)])
    with pytest.raises(ArithmeticError, match="in the join"):
        steps.run()


@pytest.mark.parametrize("places", [["a", "b"], ["a", None], [None, "a"]])
def test_different_places_are_refused(places: list) -> None:
    """Calls that come to different meetings, or to none, are an error that names both places."""

    def call(place: str | None) -> None:
        if place is not None:
            steps.meet(place, 1, total)

    steps = Lockstep([lambda p=p: call(p) for p in places])
    words = [place or "its end" for place in places]
    with pytest.raises(ConfigError, match=f"1 reached {words[0]}.* 2 reached {words[1]}"):
        steps.run()


def test_an_interrupt_ends_all() -> None:
    """One SIGINT while a call runs is raised in the caller; the call ends at its next meeting."""
    n_threads = threading.active_count()
    main = threading.main_thread().ident
    reached: list[str] = []

    def call(number: int) -> None:
        if number == 1:
            signal.pthread_kill(main, signal.SIGINT)
            for _ in range(60_000):  # the caller's thread stops the others once it has woken up
                if steps._stopped:
                    break
                time.sleep(0.001)
        steps.meet("a", 1, total)
        reached.append("beyond")

    steps = Lockstep([lambda n=n: call(n) for n in range(3)])
    with pytest.raises(KeyboardInterrupt):
        steps.run()

    assert reached == []
    assert threading.active_count() == n_threads
