"""Tensors saved for the backward pass of several forwards, released and recomputed in groups.

Autograd gets a slot for every tensor that it saves. Only the newest slots keep their tensor: the
backward pass needs those first. The others are refilled, a group at a time, by running a
micro-batch's forward again up to the last tensor of the group. A slot's tensor is freed with the
slot, and the slot with the graph node that owns it: exactly when autograd would free the tensor.
"""

import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from afina.errors import ConfigError


class Slot:
    """The place of a tensor that the backward pass will ask for.

    Args:
        part: number of the forward that saved it.
        index: number of tensors that this forward had saved before.
        tensor: the saved tensor.
        fixed: whether the tensor stays in memory anyway.
    """

    __slots__ = ("__weakref__", "fixed", "group", "index", "kind", "part", "tensor", "version")

    def __init__(self, part: int, index: int, tensor: Tensor, *, fixed: bool) -> None:
        self.part = part
        self.index = index
        self.fixed = fixed
        self.group: int | None = None
        self.kind = _kind(tensor)
        self.fill(tensor)

    def fill(self, tensor: Tensor) -> None:
        """Keep the tensor detached, because an output would keep its own node alive."""
        self.tensor: Tensor | None = tensor.detach()
        self.version = tensor._version  # noqa: SLF001 - as autograd itself does


class SavedTensors:
    """All tensors that the backward pass of a window will ask for.

    `pack` and `unpack` are for `torch.autograd.graph.saved_tensors_hooks`.

    Args:
        n_parts: number of forwards.
        n_groups: about one n-th of all bytes is kept at a time.
        keep_bytes: bytes that may always be kept.
        fixed: tensors that stay in memory anyway, such as parameters and inputs.
        run_again: a bound method that runs a forward again, with `pack` and `unpack` as hooks.
    """

    def __init__(
        self,
        n_parts: int,
        n_groups: int,
        keep_bytes: int,
        fixed: Iterable[Tensor],
        run_again: Callable[[int], None],
    ) -> None:
        self.part = 0  # number of the forward that runs
        self._n_groups = n_groups
        self._keep_bytes = keep_bytes
        self._fixed = {_memory(tensor) for tensor in fixed} - {None}
        self._run_again = weakref.WeakMethod(
            run_again
        )  # a reference cycle would outlive the window
        self._slots: list[list[weakref.ref[Slot]]] = [[] for _ in range(n_parts)]
        self._newest: deque[tuple[weakref.ref[Slot], int]] = deque()
        self._newest_bytes = self._all_bytes = 0
        self._to_fill: dict[int, Slot] | None = None  # in a replay: slots by their index
        self._position = 0
        self._recorded = False

    @property
    def replaying(self) -> bool:
        """Return whether a forward is being run again."""
        return self._to_fill is not None

    def pack(self, tensor: Tensor) -> Slot | None:
        """Return a slot for a tensor that autograd saves; in a replay, fill the slot if needed."""
        if self._to_fill is not None:
            self._collect(tensor, self._to_fill)
            return None
        slots = self._slots[self.part]
        slot = Slot(self.part, len(slots), tensor, fixed=_memory(tensor) in self._fixed)
        slots.append(weakref.ref(slot))
        if not slot.fixed:
            self._keep_newest(slot, tensor.numel() * tensor.element_size())
        return slot

    def unpack(self, slot: Slot) -> Tensor:
        """Return the tensor of a slot, recomputed if it was released.

        Raises:
            ConfigError: a forward differs when it is run again, or the first forwards have not
                ended yet.
            RuntimeError: the tensor was changed in place since it was saved.
        """
        if not self._recorded:
            raise ConfigError(
                'with batchnorm="window", the model must not compute gradients in its forward',
                but="it does",
                fix='Use batchnorm="microbatch".',
            )
        if slot.tensor is None:
            self._refill(slot)
        tensor = slot.tensor
        if tensor is None:
            raise replay_differs("it ends before it has computed all of its tensors")
        if tensor._version != slot.version:  # noqa: SLF001 - as autograd itself does
            raise RuntimeError(
                "a tensor that the backward pass needs must not be changed in place, but one of "
                f"shape {tuple(tensor.shape)} was. Use an operation that returns a new tensor."
            )
        return tensor

    def end_recording(self) -> None:
        """Divide the released tensors of each forward into groups of about equal bytes."""
        self._recorded = True
        self._newest.clear()
        for slots in self._slots:
            released = [slot for slot in _alive(slots) if slot.tensor is None]
            n_bytes = [slot.kind[2] for slot in released]
            before, whole = 0, max(sum(n_bytes), 1)
            for slot, size in zip(released, n_bytes, strict=True):
                slot.group = before * max(self._n_groups - 1, 1) // whole
                before += size

    def rehearse(self, part: int) -> None:
        """Run a forward again, only to check that this works."""
        self._run_through(part, {})

    def _keep_newest(self, slot: Slot, n_bytes: int) -> None:
        self._newest.append((weakref.ref(slot), n_bytes))
        self._newest_bytes += n_bytes
        self._all_bytes += n_bytes
        most = max(self._all_bytes // self._n_groups, self._keep_bytes)
        while self._newest_bytes > most:
            oldest, size = self._newest.popleft()
            self._newest_bytes -= size
            if (slot_to_release := oldest()) is not None:
                slot_to_release.tensor = None

    def _refill(self, slot: Slot) -> None:
        group = {
            other.index: other
            for other in _alive(self._slots[slot.part])
            if other.tensor is None and other.group == slot.group
        }
        self._run_through(slot.part, group)

    def _run_through(self, part: int, to_fill: dict[int, Slot]) -> None:
        self._to_fill, self._position = to_fill, 0
        run_again = self._run_again()
        if run_again is None:
            raise RuntimeError("the backward pass must run while its window exists")
        try:
            run_again(part)
        except _Enough:
            pass
        finally:
            self._to_fill = None

    def _collect(self, tensor: Tensor, to_fill: dict[int, Slot]) -> None:
        slot = to_fill.pop(self._position, None)
        self._position += 1
        if slot is not None:
            if slot.kind != _kind(tensor):
                raise replay_differs(f"it computes {_kind(tensor)} instead of {slot.kind}")
            slot.fill(tensor)
            if not to_fill:
                raise _Enough


class _Enough(BaseException):
    """Raised to end a replay that has filled all slots."""


def replay_differs(difference: str) -> ConfigError:
    """Return the error for a forward that differs when it is run again."""
    return ConfigError(
        'with batchnorm="window", the forward must compute the same when it is run again',
        but=difference,
        fix="Take random numbers from the global generators and keep nothing from call to call, "
        'or use batchnorm="microbatch".',
    )


def _kind(tensor: Tensor) -> tuple[tuple[int, ...], torch.dtype, int]:
    """Return shape, type and bytes of a tensor."""
    return tuple(tensor.shape), tensor.dtype, tensor.numel() * tensor.element_size()


def _memory(tensor: Tensor) -> Any:
    """Return the address of a tensor's memory; None if there is no single address."""
    if tensor.layout is not torch.strided or not tensor.untyped_storage().nbytes():
        return None
    return tensor.untyped_storage().data_ptr()


def _alive(slots: list[weakref.ref[Slot]]) -> list[Slot]:
    return [slot for reference in slots if (slot := reference()) is not None]
