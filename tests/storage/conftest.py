"""What refusing is measured by: work that any machine knows."""

import hashlib
import json
import time
from collections.abc import Callable

import pytest

MILLION = b"[" + b"0," * 999_999 + b"0]"
HUNDRED_MB = 100_000_000


def processor_time(work: Callable[[], object]) -> float:
    """Give the processor time that some work takes, the least of three times."""
    seconds = []
    for _ in range(3):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


@pytest.fixture(scope="session")
def honest_s() -> float:
    """Give the processor time that reading a million numbers and hashing 100 MB take here."""

    def work() -> None:
        json.loads(MILLION)
        hashlib.sha256(b"1" * HUNDRED_MB).digest()

    return processor_time(work)
