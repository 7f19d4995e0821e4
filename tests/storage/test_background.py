"""Work beside the caller loses no error."""

import os
import signal
import threading

import pytest

from afina.errors import StorageError
from afina.storage import Background


def fail() -> None:
    """Stand for a full disk."""
    raise StorageError("full")


def test_work_is_done_in_another_thread_and_waited_for() -> None:
    """`start` returns at once; `wait` returns when the work is done; `check` never waits."""
    go, done = threading.Event(), []
    work = Background()
    work.start(lambda: done.append(go.wait(60)))
    work.check()
    assert done == []
    go.set()
    work.wait()

    assert done == [True]


def test_an_error_is_raised_once_by_whatever_comes_next() -> None:
    """`wait`, `start` and, as soon as the work has ended, `check` raise what went wrong, once."""
    for settle in (Background.wait, lambda w: w.start(lambda: None), check_until_ended):
        work = Background()
        work.start(fail)
        with pytest.raises(StorageError, match="full"):
            settle(work)
        settle(work)
        work.wait()


def check_until_ended(work: Background) -> None:
    """Call `check` until the work has ended."""
    for thread in threading.enumerate():
        if thread.name == "afina-checkpoint":
            thread.join()
    work.check()


def test_a_start_waits_for_the_work_before() -> None:
    """Two pieces of work are done in order, never at once."""
    done: list[int] = []
    work = Background()
    for number in range(20):
        work.start(lambda number=number: done.append(number))
    work.wait()

    assert done == list(range(20))


# Python 3.12 warns of what this test is about.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_thread_that_it_lacks() -> None:
    """In a child that was forked during the work, `wait` returns; in the parent it waits."""
    go, done = threading.Event(), []
    work = Background()
    work.start(lambda: done.append(go.wait()))
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        work.wait()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    go.set()
    work.wait()

    assert os.waitstatus_to_exitcode(status) == 0
    assert done == [True]
