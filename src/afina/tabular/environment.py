"""The versions, threads and hardware that a run's results depend on."""

import os
import platform
from importlib.metadata import version

import torch

from afina.records.env_json import Environment
from afina.records.json_record import to_dict

_PACKAGES = ("afina", "python", "torch", "numpy", "pyarrow", "scikit-learn")
_MATTERS = (*_PACKAGES, "machine", "processor", "cpu_capability")


def describe_environment(threads: int) -> Environment:
    """Return the content of `env.json` for a run with this many processor threads."""
    from afina import __version__

    return Environment(
        afina=__version__,
        python=platform.python_version(),
        torch=version("torch"),
        numpy=version("numpy"),
        pyarrow=version("pyarrow"),
        scikit_learn=version("scikit-learn"),
        platform=platform.platform(),
        machine=platform.machine(),
        processor=platform.processor(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        n_cpus=os.cpu_count(),
        threads=threads,
        device="cpu",
    )


def name_differences(then: Environment, now: Environment) -> tuple[str, ...]:
    """Return a sentence for each difference that may change the last bits of a result."""
    before, after = to_dict(then), to_dict(now)
    return tuple(
        f"{name} was {before[name]:.60} when the run began and is {after[name]} now, so the "
        "resumed run may differ in the last digits from one that was never stopped"
        for name in _MATTERS
        if before[name] != after[name]
    )
