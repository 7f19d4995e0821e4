"""Random numbers as a function of (seed, purpose, index).

Every stream is seeded from its purpose when it begins, so that a resumed run, a repeated window and
a validation in between are exact by construction: no generator's state has to be restored.
"""

import hashlib
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from afina.process_state import RandomState, Shared

_INDUCTOR = "torch._inductor.config"


def stream_seed(seed: int, purpose: str, index: int = 0) -> int:
    """Mix a run's seed, a stream's purpose and an index into a 63-bit seed.

    Args:
        seed: the run's seed, at least 0.
        purpose: what the numbers are for, such as `"order"` or `"step"`.
        index: epoch or step number.

    Example:
        >>> stream_seed(0, "order", 1) == stream_seed(0, "order", 1)
        True
        >>> stream_seed(0, "order", 1) == stream_seed(0, "step", 1)
        False
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def make_generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """Make a CPU generator for one purpose, apart from torch's global one."""
    return torch.Generator("cpu").manual_seed(stream_seed(seed, purpose, index))


def reseed_torch(seed: int, purpose: str, index: int) -> None:
    """Reseed torch's global generators, from which dropout draws, among others."""
    value = stream_seed(seed, purpose, index)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.manual_seed(value)
    else:
        torch.default_generator.manual_seed(value)


def reseed_everything(seed: int, purpose: str, index: int) -> None:
    """Reseed torch, numpy and `random`: the items of a data set may draw from any of them."""
    reseed_torch(seed, purpose, index)
    value = stream_seed(seed, purpose, index)
    random.seed(value)
    np.random.seed(value % 2**32)  # noqa: NPY002 - other people's data sets draw from this one


@contextmanager
def isolated() -> Iterator[None]:
    """Restore the state of all global generators afterwards."""
    before = RandomState()
    try:
        yield
    finally:
        before.restore()


@contextmanager
def deterministic() -> Iterator[None]:
    """Use torch's deterministic kernels in the `with` block, and restore the setting afterwards.

    Operations without such a kernel only warn: a run that cannot be repeated is better than no run,
    and the warning names the operation. The setting applies to the whole process: if fits overlap
    in threads, the first one changes it and the last one restores it.
    """
    # One flag is kept for each thread, so the last fit can restore it only for itself.
    before = torch.are_deterministic_algorithms_enabled()
    before = getattr(sys.modules.get(_INDUCTOR), "deterministic", before)
    try:
        with _deterministic_process():
            yield
    finally:
        if hasattr(sys.modules.get(_INDUCTOR), "deterministic"):
            sys.modules[_INDUCTOR].deterministic = before  # type: ignore[attr-defined]


@contextmanager
def _deterministic_kernels() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    _set_deterministic(True, warn_only=not before or warn_only)
    # Filling every fresh tensor costs time and is only needed by code that reads garbage.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        _set_deterministic(before, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


def _set_deterministic(mode: bool, *, warn_only: bool) -> None:  # noqa: FBT001 - as torch's
    """Do what `torch.use_deterministic_algorithms` does, without loading torch's compiler for it.

    Loading it takes seconds. Only the compiler reads the copy of the flag among its settings, and
    `compile` passes it there itself.
    """
    if _INDUCTOR in sys.modules or (warn_only and not mode):
        torch.use_deterministic_algorithms(mode, warn_only=warn_only)
    else:
        torch.set_deterministic_debug_mode((1 if warn_only else 2) if mode else 0)


_deterministic_process = Shared(_deterministic_kernels)
