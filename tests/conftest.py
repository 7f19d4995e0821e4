"""What holds for every test: one thread (or as many as asked), repeatable arithmetic."""

import os
import signal
import zlib
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

import afina

hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if "CI" in os.environ else "house")


class TorchNumbers:
    """Torch's global generator, for hypothesis to set: an example then draws the same again."""

    def seed(self, number: int) -> None:
        torch.manual_seed(number)

    def getstate(self) -> torch.Tensor:
        return torch.get_rng_state()

    def setstate(self, state: torch.Tensor) -> None:
        torch.set_rng_state(state)


TORCH_NUMBERS = TorchNumbers()  # hypothesis itself holds it weakly
hypothesis.register_random(TORCH_NUMBERS)


def pytest_configure() -> None:
    """Make arithmetic repeatable; under ./check, make sure that the installed package is tested."""
    # What a shell starts in the background ignores Ctrl-C, and so would what the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(int(os.environ.get("AFINA_TEST_THREADS", "1")))
    torch.use_deterministic_algorithms(mode=True)
    if "AFINA_CHECK_INSTALLED" in os.environ:
        where = Path(afina.__file__)
        if "site-packages" not in where.parts:
            pytest.exit(f"the tests must run on the installed package, however: {where}", 3)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests 20 minutes instead of 5: they take less than 2, but not beside other work."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1200))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start torch's global numbers by the test's name, whatever ran before it."""
    torch.manual_seed(zlib.crc32(item.nodeid.encode()))


@pytest.fixture(params=[0, 1, 2])
def seed(request: pytest.FixtureRequest) -> int:
    """Run the test with several seeds."""
    return int(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a generator of numbers that are the same in every run."""
    return np.random.default_rng(20261123)


@pytest.fixture
def generator() -> torch.Generator:
    """Return a torch generator whose numbers are the same in every run."""
    return torch.Generator().manual_seed(20261123)
