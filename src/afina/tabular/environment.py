"""What a run's numbers depend on besides its settings: versions, threads, machine."""

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch

_PACKAGES = ("torch", "numpy", "pyarrow", "scikit-learn")
_MATTERS = ("afina", "python", *_PACKAGES, "machine", "processor", "cpu_capability")


def describe_environment(threads: int) -> dict[str, Any]:
    """Collect what `env.json` says."""
    from afina import __version__

    return {
        "format": 1,
        "afina": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": platform.processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "n_cpus": os.cpu_count(),
        "threads": threads,
        "device": "cpu",
    }


def name_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what differs between two environments that may change the last bits of a number."""
    return tuple(
        f"{name} was {then.get(name)!s:.60} when the run began and is {now.get(name)} now, so the "
        "resumed run may differ in the last digits from one that was never stopped"
        for name in _MATTERS
        if then.get(name) != now.get(name)
    )


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Let torch use so many processor threads inside; restore the number afterwards.

    A sum's last bits depend on the number of threads, so a run keeps one number throughout.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
