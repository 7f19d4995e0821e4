"""What all threads of a process share in torch: random generators, flags, thread counts.

Several fits may run at once in threads. Torch, numpy and `random` have one global generator each, and
torch one flag for deterministic kernels, for the whole process. So fits take turns: whoever draws
from the global generators holds one lock, and finds in them the state that it left there. A flag is
set by the first fit that needs it and restored by the last.

Code that draws from a global generator in another thread while a fit takes a step, such as the making
of a layer, changes the fit's numbers, as torch has no generators by thread. `with Drawing():` around
such code makes it wait for its turn.
"""

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

__all__ = [
    "Drawing",
    "RandomState",
    "Shared",
    "new_layers",
    "own_numbers",
    "plain_torch",
    "torch_threads",
]


class RandomState:
    """The state of torch's, numpy's and Python's global generators."""

    def __init__(self) -> None:
        self.python = random.getstate()
        self.numpy = np.random.get_state()  # noqa: NPY002 - other people's code draws from this one
        self.cpu = torch.get_rng_state()
        self.cuda: list[torch.Tensor] = []
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            self.cuda = torch.cuda.get_rng_state_all()

    def restore(self) -> None:
        """Put the state back into the generators."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002 - as above
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


class _Owner:
    """A fit, or whoever draws outside of every fit, and where it stands while others draw."""

    def __init__(self) -> None:
        self.state: RandomState | None = None


class _Draws:
    """The lock, and whose numbers the global generators hold."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.user = _Owner()
        self.current = self.user
        self.owners = threading.local()

    def owner(self) -> _Owner:
        """Return the innermost fit of this thread, or the user."""
        owners = getattr(self.owners, "stack", None)
        return owners[-1] if owners else self.user

    def switch(self, owner: _Owner, *, keep: bool = True) -> None:
        """Fill the generators with the numbers of an owner; the lock is held."""
        if owner is self.current:
            return
        self.current.state = RandomState() if keep else None
        if owner.state is not None:
            owner.state.restore()
        self.current, owner.state = owner, None


_draws = _Draws()


class Drawing:
    """Draw from the global generators inside, undisturbed by fits in other threads.

    It can be used many times, and within itself. Inside a fit the numbers are the fit's own,
    outside they are the user's. Gradients are on inside if `with_gradients`.

    Args:
        with_gradients: switch gradients on, in case an observer has switched them off.
    """

    def __init__(self, *, with_gradients: bool = False) -> None:
        self.with_gradients = with_gradients

    def __enter__(self) -> None:
        _draws.lock.acquire()
        try:
            _draws.switch(_draws.owner())
            if self.with_gradients and not torch.is_grad_enabled():
                torch.set_grad_enabled(True)
        except BaseException:
            _draws.lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        _draws.lock.release()


@contextmanager
def own_numbers() -> Iterator[None]:
    """Give what runs inside global generators of its own; afterwards, they are as they were.

    The numbers are its own only where `Drawing` is in force; they begin with the state before.
    """
    mine = _Owner()
    with _draws.lock:
        around = _draws.owner()
        _draws.switch(around)
        around.state = RandomState()
        _draws.current = mine
        if not hasattr(_draws.owners, "stack"):
            _draws.owners.stack = []
        _draws.owners.stack.append(mine)
    try:
        yield
    finally:
        with _draws.lock:
            _draws.owners.stack.remove(mine)
            if _draws.current is mine:
                _draws.switch(around, keep=False)


class Shared:
    """A change to the whole process that several threads need at once.

    The first thread that comes makes the change; the last one that leaves undoes it.

    Args:
        change: makes the context whose inside is the changed process.
    """

    _all: "list[Shared]" = []  # noqa: RUF012 - every change there is, for a child process

    def __init__(self, change: Callable[[], AbstractContextManager[Any]]) -> None:
        self._change = change
        self._context: AbstractContextManager[Any] | None = None
        self._depths: dict[int, int] = {}
        self._lock = threading.Lock()
        self._all.append(self)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Run the inside in the changed process."""
        me = threading.get_ident()
        with self._lock:
            if self._context is None:
                context = self._change()
                context.__enter__()
                self._context = context
            self._depths[me] = self._depths.get(me, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._depths[me] -= 1
                if not self._depths[me]:
                    del self._depths[me]
                self._undo()

    def _undo(self) -> None:
        if self._context is not None and not self._depths:
            context, self._context = self._context, None
            context.__exit__(None, None, None)

    def forget_other_threads(self) -> None:
        """Undo the change in a child process, in which only the thread that forked lives on."""
        self._lock = threading.Lock()
        me = threading.get_ident()
        self._depths = {me: self._depths[me]} if me in self._depths else {}
        self._undo()


class _Counts:
    """The thread counts that are set at present, and the one to start a thread with."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.set: list[int] = []
        self.default = 1
        self.known = threading.local()
        self.forked = False


_counts = _Counts()


@contextmanager
def torch_threads(n: int | None) -> Iterator[None]:
    """Let torch use `n` processor threads inside; restore the number afterwards.

    A sum's last bits depend on the number of threads, so a run keeps one number throughout. Torch
    keeps a number for each thread, but starts a thread with the number that any thread set last:
    a thread that is new here while another has set its own gets the number from before that.

    Args:
        n: processor threads. None: the number that this thread has. It is 1 in a process that was
            forked: OpenMP's other threads do not exist there, and it would wait for them forever.
    """
    with _counts.lock:
        before = torch.get_num_threads()
        if not hasattr(_counts.known, "seen"):
            _counts.known.seen = True
            if before in _counts.set:
                before = _counts.default
                torch.set_num_threads(before)
        n = 1 if _counts.forked else before if n is None else n
        changes = n != before
        if changes:
            if not _counts.set:
                _counts.default = before
            _counts.set.append(n)
            torch.set_num_threads(n)
    try:
        yield
    finally:
        if changes:
            with _counts.lock:
                _counts.set.remove(n)
                torch.set_num_threads(before)


@contextmanager
def plain_torch() -> Iterator[None]:
    """Run the inside as in a thread where the caller has changed nothing in torch.

    Gradients are on, inference mode is off, and new tensors are on the CPU; all three belong to the
    thread.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch_threads(None))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))  # slow, so only where it is needed
        yield


@contextmanager
def new_layers() -> Iterator[None]:
    """Make layers of float32, whatever the caller's default is, without touching random numbers.

    Torch's layers draw their first weights from the global generator, and have the default type.
    """
    with Drawing(), torch.random.fork_rng(devices=[]):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def _begin_child() -> None:
    """Make new locks, and drop what threads that are not in this process were doing."""
    _draws.lock = threading.RLock()
    _counts.lock = threading.Lock()
    _counts.set.clear()
    _counts.forked = True
    if not getattr(_draws.owners, "stack", None):
        _draws.switch(_draws.user, keep=False)
    for change in Shared._all:  # noqa: SLF001 - this file's own
        change.forget_other_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_child)
