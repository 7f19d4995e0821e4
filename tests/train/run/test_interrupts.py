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
    with stop_requests(saves=True) as request:
        assert request.signum is None
        os.kill(os.getpid(), signum)
        assert request.signum == signum

    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_without_a_folder_only_ctrl_c_is_a_request() -> None:
    """Without a run folder, SIGTERM keeps its effect, and a second Ctrl-C interrupts at once."""
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with stop_requests(saves=False) as request:
            assert signal.getsignal(signal.SIGTERM) == before[1]
            os.kill(os.getpid(), signal.SIGINT)
            assert request.signum == signal.SIGINT
            with pytest.raises(KeyboardInterrupt) as caught:
                os.kill(os.getpid(), signal.SIGINT)
        assert type(caught.value) is KeyboardInterrupt
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before[0])


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda _signum, _frame: None])
def test_a_handler_of_the_users_own_stays_where_nothing_is_saved(handler) -> None:
    """A program that handles or ignores Ctrl-C itself still does during a fit without a folder."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        with stop_requests(saves=False):
            assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_several_processes_without_a_folder_have_no_handler() -> None:
    """They would have to agree at every step whether to stop."""
    before = signal.getsignal(signal.SIGINT)
    with stop_requests(saves=False, alone=False):
        assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_nothing_is_installed() -> None:
    """A fit in a worker thread works; signals keep going to the main thread."""
    results = []

    def work() -> None:
        with stop_requests(saves=True) as request:
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
        "with stop_requests(saves=True):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout == "still here\n"
    assert done.returncode == -signal.SIGINT
