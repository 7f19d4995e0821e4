"""What holds for every test: one thread (or as many as asked), repeatable arithmetic."""

import contextlib
import os
import shutil
import signal
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests with other people's code ran, as they are skipped without it."""
    reports = {name: terminalreporter.getreports(name) for name in ("passed", "failed", "skipped")}
    counts = {
        name: sum(report.nodeid.startswith("tests/clients/") for report in part)
        for name, part in reports.items()
    }
    if any(counts.values()):
        ran = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
        terminalreporter.write_line(f"tests with other people's code: {ran}")


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


@dataclass(frozen=True)
class DiskImage:
    """An ext4 disk in a file, for tests of power cuts.

    Args:
        path: the file.
    """

    path: Path

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        """Mount the disk for a while; skip the test, visibly, where that is not allowed."""
        folder = self.path.with_suffix(".mounted")
        folder.mkdir(exist_ok=True)
        if not succeeds("mount", "-o", "loop", self.path, folder):
            pytest.skip("mounting a disk image needs root and a loop device")
        try:
            yield folder
        finally:
            assert succeeds("umount", folder)

    def cut(self) -> "DiskImage":
        """Copy what has reached the disk by now: what a power cut at this instant leaves."""
        copy = self.path.with_name(f"cut-{len(list(self.path.parent.iterdir()))}.img")
        shutil.copyfile(self.path, copy)
        return DiskImage(copy)


def succeeds(*command: str | Path) -> bool:
    """Run a program; tell whether it succeeded."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def image(tmp_path: Path) -> DiskImage:
    """Return an ext4 disk of 24 MB."""
    path = tmp_path / "disk.img"
    path.touch()
    os.truncate(path, 24 * 2**20)
    if not succeeds("mkfs.ext4", "-q", path):
        pytest.skip("mkfs.ext4 is not there")
    return DiskImage(path)
