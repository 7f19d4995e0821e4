"""SIGINT and SIGTERM, sent to this process or to a child."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from afina.train.run.interrupts import stop_requests


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request(signum: int) -> None:
    """The first signal is recorded, and the former handlers are restored afterwards."""
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with stop_requests(active=True) as request:
        assert request.signum is None
        os.kill(os.getpid(), signum)
        assert request.signum == signum

    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_nothing_to_save_means_no_handler() -> None:
    """Without a run folder, Ctrl-C is Python's usual KeyboardInterrupt."""
    with pytest.raises(KeyboardInterrupt), stop_requests(active=False):
        os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_nothing_is_installed() -> None:
    """A fit in a worker thread works; signals keep going to the main thread."""
    results = []

    def work() -> None:
        with stop_requests(active=True) as request:
            results.append(request.signum)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert results == [None]


def test_the_second_signal_leaves_at_once() -> None:
    """A process stuck in a step can be stopped by a second Ctrl-C."""
    code = (
        "import os, signal, time\n"
        "from afina.train.run.interrupts import stop_requests\n"
        "with stop_requests(active=True):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout == "still here\n"
    assert done.returncode == -signal.SIGINT
