"""What holds for every test: one thread (or as many as asked), repeatable arithmetic."""

import os
import signal
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

import afina

hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if "CI" in os.environ else "house")


def pytest_configure() -> None:
    """Make arithmetic repeatable; under ./check, make sure that the installed package is tested."""
    # A shell ignores Ctrl-C in what it starts in the background, and Python then keeps to that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(int(os.environ.get("AFINA_TEST_THREADS", "1")))
    torch.use_deterministic_algorithms(mode=True)
    if "AFINA_CHECK_INSTALLED" in os.environ:
        where = Path(afina.__file__)
        if "site-packages" not in where.parts:
            pytest.exit(f"the tests must run on the installed package, however: {where}", 3)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allow slow tests ten minutes instead of two; a busy machine makes them slower still."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))


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
