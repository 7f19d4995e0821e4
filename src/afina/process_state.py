"""The state that all threads of a process share in torch: generators, flags, thread counts.

Several fits may run at once, in threads. But torch, numpy and `random` each have one global
generator for the whole process, and torch has one flag for deterministic kernels. So fits take
turns: code that draws from the global generators holds a lock, and finds them in the state in which
it left them. A flag is set by the first fit that needs it, and restored by the last.

If other code draws from a global generator in another thread while a fit takes a step, it changes the
fit's random numbers, because torch has no generators per thread. So while a fit runs, creating a layer
in another thread waits (`layers_take_turns`); `with Drawing():` around other code makes it wait too.

A turn includes the user's loss, model and loader, because they may draw. If one of these waits for a
fit in another thread, that fit can never have its turn; it raises an error.
"""

import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ContextDecorator, ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch.nn import init

from afina.errors import ConfigError

__all__ = [
    "Drawing",
    "RandomState",
    "Shared",
    "layers_take_turns",
    "new_layers",
    "own_numbers",
    "plain_torch",
    "torch_threads",
]


class RandomState:
    """The state of torch's, numpy's and Python's global generators."""

    def __init__(self) -> None:
        self.python = random.getstate()
        self.numpy = np.random.get_state()  # noqa: NPY002 - other code draws from this generator
        self.cpu = torch.get_rng_state()
        self.cuda: list[torch.Tensor] = []
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            self.cuda = torch.cuda.get_rng_state_all()

    def restore(self) -> None:
        """Restore the state of the generators."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002 - as above
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


@dataclass(eq=False)
class _Owner:
    """A fit, or the code outside of fits, and the state of its generators while others draw."""

    state: RandomState | None = None


_PATIENCE_S = 60.0  # for a thread that has its turn and waits for something


class _Draws:
    """The lock, and the owner of the numbers that the global generators hold."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.holder = 0  # the thread that had the last turn
        self.n_turns = 0
        self.user = _Owner()
        self.current = self.user
        self.owners = threading.local()

    def owner(self) -> _Owner:
        """Return the innermost fit of this thread, or the code outside of fits."""
        owners = getattr(self.owners, "stack", None)
        return owners[-1] if owners else self.user

    def acquire(self) -> None:
        """Wait for a turn.

        Raises:
            ConfigError: the thread that holds the turn is waiting for another, perhaps this one.
        """
        if not self.lock.acquire(blocking=False):
            before = self._waits()
            while not self.lock.acquire(timeout=_PATIENCE_S):
                now = self._waits()
                if now is not None and now == before:
                    raise ConfigError(
                        "A fit's loss, model and loader must not wait for a fit in another thread",
                        but=f"one of them has waited for {_PATIENCE_S:g} seconds, during which no other "
                        "fit could continue",
                        fix="Run the other fit in the same thread, in its own process, or before "
                        "this one.",
                    )
                before = now
        self.holder = threading.get_ident()
        self.n_turns += 1

    def _waits(self) -> tuple[int, FrameType, int] | None:
        """Return where the thread that holds the turn is waiting; None if it is not."""
        frame = sys._current_frames().get(self.holder)  # noqa: SLF001 - there is no other way
        if frame is None or frame.f_code.co_filename != threading.__file__:
            return None
        return self.n_turns, frame, frame.f_lasti

    def switch(self, owner: _Owner, *, keep: bool = True) -> None:
        """Put an owner's state into the generators; the caller holds the lock."""
        if owner is self.current:
            return
        self.current.state = RandomState() if keep else None
        if owner.state is not None:
            owner.state.restore()
        self.current, owner.state = owner, None


_draws = _Draws()


class Drawing(ContextDecorator):
    """Let the `with` block draw from the global generators, undisturbed by fits in other threads.

    It can be reused and nested, and can decorate functions. Inside a fit, the numbers are the fit's
    own; outside, they are the caller's.

    Args:
        with_gradients: switch gradients on in the block, in case an observer has switched them off.
    """

    def __init__(self, *, with_gradients: bool = False) -> None:
        self.with_gradients = with_gradients

    def __enter__(self) -> None:
        _draws.acquire()
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
    """Give the `with` block its own global generators, and restore the caller's afterwards.

    The separate generators apply only inside `Drawing`; they start from the caller's state.
    """
    mine = _Owner()
    with Drawing():
        around = _draws.owner()
        around.state = RandomState()
        _draws.current = mine
        if not hasattr(_draws.owners, "stack"):
            _draws.owners.stack = []
        _draws.owners.stack.append(mine)
    try:
        yield
    finally:
        _draws.owners.stack.remove(mine)
        if _draws.current is mine:  # then nobody holds the lock for long
            with _draws.lock:
                if _draws.current is mine:
                    _draws.switch(around, keep=False)


class Shared:
    """A change to the whole process that several threads may need at once.

    The first thread to enter makes the change; the last one to leave undoes it.

    Args:
        change: returns a context manager that makes the change and undoes it.
    """

    _all: "list[Shared]" = []  # noqa: RUF012 - all changes, so that a child process can undo them

    def __init__(self, change: Callable[[], AbstractContextManager[Any]]) -> None:
        self._change = change
        self._context: AbstractContextManager[Any] | None = None
        self._depths: dict[int, int] = {}
        self._lock = threading.Lock()
        self._all.append(self)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Make the change for the `with` block."""
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
        """Undo the change in a child process, where only the thread that forked still runs."""
        self._lock = threading.Lock()
        me = threading.get_ident()
        self._depths = {me: self._depths[me]} if me in self._depths else {}
        self._undo()


_INITIALIZERS = (
    *("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_"),
    *("kaiming_uniform_", "kaiming_normal_", "orthogonal_", "sparse_"),
)


@contextmanager
def _initialize_in_turn() -> Iterator[None]:
    """Make the functions with which torch's layers draw their first weights wait for their turn."""
    places = [*((init, name) for name in _INITIALIZERS), (torch, "manual_seed")]
    originals = [getattr(place, name) for place, name in places]
    for (place, name), original in zip(places, originals, strict=True):
        setattr(place, name, Drawing()(original))
    try:
        yield
    finally:
        for (place, name), original in zip(places, originals, strict=True):
            setattr(place, name, original)


layers_take_turns = Shared(_initialize_in_turn)
"""While a fit runs: layers made in other threads, and seeds set there, wait for the end of a step."""


class _Counts:
    """The thread counts that are in effect, and the one that new threads should have."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.set: list[int] = []
        self.default = 1
        self.known = threading.local()
        self.forked = False


_counts = _Counts()


@contextmanager
def torch_threads(n: int | None) -> Iterator[None]:
    """Let torch use `n` processor threads in the `with` block; restore the number afterwards.

    The last bits of a sum depend on the number of threads, so a run keeps the same number
    throughout. Torch has a number for each Python thread, but a new thread starts with the number
    that any thread set last. So if another thread has changed the number when a new thread arrives
    here, the new thread gets the number from before that change.

    Args:
        n: number of processor threads. None: this thread's number, which is 1 in a forked process,
            because OpenMP's other threads do not exist there and torch would wait for them forever.
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
    """Run the `with` block as if the caller had changed nothing in torch.

    Gradients are on, inference mode is off, and new tensors are on the CPU; torch keeps all three
    for each thread.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch_threads(None))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))  # slow, so only if needed
        yield


@contextmanager
def new_layers() -> Iterator[None]:
    """Create layers in float32, whatever the caller's default, without drawing random numbers.

    Torch's layers draw their first weights from the global generator and have the default dtype.
    """
    with Drawing(), torch.random.fork_rng(devices=[]):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def _begin_child() -> None:
    """Create new locks, and undo changes by threads that do not exist in this process."""
    _draws.lock, _draws.holder = threading.RLock(), 0
    _counts.lock = threading.Lock()
    _counts.set.clear()
    _counts.forked = True
    if not getattr(_draws.owners, "stack", None):
        _draws.switch(_draws.user, keep=False)
    for change in Shared._all:  # noqa: SLF001 - this file's own
        change.forget_other_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_child)
