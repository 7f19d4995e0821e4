"""The forward passes of one window in lockstep, and its backward pass with replays."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from afina.errors import ConfigError
from afina.train.batches import Batch
from afina.train.nests import list_tensors
from afina.train.rng import isolated, reseed_everything
from afina.train.train_mode import AnyBatchNorm
from afina.train.window.joint_norm import (
    JointNorm,
    JointNormInputs,
    KnownNorm,
    Statistics,
    SumOverProcesses,
    update_running,
    window_statistics,
)
from afina.train.window.lockstep import Lockstep
from afina.train.window.replay import SavedTensors, replay_differs
from afina.train.window.thread_state import current_thread_state
from afina.train.window.unsupported import uses_batch

SumOfBatch = Callable[[Batch], tuple[Tensor, Tensor | float]]
Steps = Lockstep[tuple[Tensor, Tensor | float]]


@dataclass
class _Meeting:
    """What a replay needs to know about one batch normalization in the first forward."""

    statistics: Statistics
    needs_grad: bool
    samples: list[Tensor] = field(default_factory=list)


class WindowPass:
    """The forward passes and the backward pass of one window; to be used only once.

    Args:
        model: the model, whose batch normalizations share statistics.
        step: maps a micro-batch to the sums of its losses and weights.
        parts: the micro-batches.
        watch: makes the context manager for each first forward.
        n_groups: about one n-th of the saved tensors is in memory at a time.
        keep_bytes: bytes of saved tensors that may always be in memory.
        sum_over_processes: sums a tensor over all processes. None: there is only one.
    """

    def __init__(
        self,
        model: nn.Module,
        step: SumOfBatch,
        parts: Sequence[Batch],
        watch: Callable[[], AbstractContextManager[Any]],
        n_groups: int,
        keep_bytes: int,
        sum_over_processes: SumOverProcesses | None,
    ) -> None:
        self._model = model
        self._step = step
        self._parts = parts
        self._watch = watch
        self._total = sum_over_processes
        self._names = {m: n for n, m in model.named_modules() if isinstance(m, AnyBatchNorm)}
        self._seed = int(torch.randint(2**62, (), device="cpu"))
        self._thread_state = current_thread_state()
        self._inputs = list_tensors(parts)
        fixed = [*model.parameters(), *self._inputs]
        self._saved = SavedTensors(len(parts), n_groups, keep_bytes, fixed, self._run_again)
        self._lockstep: Steps | None = None
        self._meetings: list[_Meeting] = []
        self._n_met = [0] * len(parts)
        self._ticket = torch.empty(0, requires_grad=True)
        self._others: list[tuple[Tensor, int, Tensor]] = []
        self._last_total: Tensor | None = None
        self._worst: Tensor | None = None

    def gradient(self, scale: float, *, rehearsed: bool) -> tuple[float, float]:
        """Store the gradient of scale times the sum of losses in `.grad`; return both sums.

        Args:
            scale: factor of the gradient.
            rehearsed: whether an earlier window has shown that the forward can be run again.
        """
        try:
            with isolated(), self._intercepted():
                totals, weights = self._run_forwards()
                if not rehearsed:
                    self._rehearse(totals[0])
                total = torch.stack(totals).sum()
                # The last ticket is not part of the loss: it starts the chain of normalizations.
                ends = [total * scale, *([] if self._ticket.is_leaf else [self._ticket])]
                starts = [None, torch.zeros_like(self._ticket)][: len(ends)]
                torch.autograd.backward(ends, starts)
        finally:
            self._ticket = torch.empty(0)  # otherwise it would keep a failed window's graph
        self._check_replays()
        return total.item(), sum(map(float, weights))  # sync: .item()

    def _run_forwards(self) -> tuple[list[Tensor], list[Tensor | float]]:
        versions = [tensor._version for tensor in self._inputs]  # noqa: SLF001 - as autograd does
        calls = [partial(self._first, number) for number in range(len(self._parts))]
        self._lockstep = Lockstep(calls, self._begin_turn)
        try:
            sums = self._lockstep.run()
        finally:
            self._lockstep = None
        if versions != [tensor._version for tensor in self._inputs]:  # noqa: SLF001 - as above
            raise ConfigError(
                'with batchnorm="window", a forward must not change its inputs',
                but="it changes them in place, and could not be run again",
                fix="Let it work on a copy: x = x.clone().",
            )
        self._saved.end_recording()
        self._others = [
            (buffer, buffer._version, buffer.detach().clone())  # noqa: SLF001 - as above
            for module in self._model.modules()
            if not isinstance(module, AnyBatchNorm)
            for buffer in module.buffers(recurse=False)
        ]
        return [total for total, _ in sums], [weight for _, weight in sums]

    def _rehearse(self, total: Tensor) -> None:
        """Run the first forward again, to its end, and raise unless the loss is the same."""
        self._saved.rehearse(0)
        if self._last_total is not None:
            self._compare(total.detach().view(1), self._last_total.view(1))
        self._check_replays()

    def _begin_turn(self, number: int) -> None:
        self._saved.part = number

    def _first(self, number: int) -> tuple[Tensor, Tensor | float]:
        with self._watch():
            return self._forward(number)

    def _forward(self, number: int) -> tuple[Tensor, Tensor | float]:
        self._n_met[number] = 0
        self._reseed(number)
        hooks = torch.autograd.graph.saved_tensors_hooks(self._saved.pack, self._saved.unpack)
        with self._thread_state.restored(), hooks:
            return self._step(self._parts[number])

    @torch.no_grad()
    def _run_again(self, number: int) -> None:
        self._saved.part = number
        try:
            total, _ = self._forward(number)
            self._last_total = total.detach()
        finally:
            for buffer, version, value in self._others:
                if buffer._version != version:  # noqa: SLF001 - as autograd does
                    buffer.copy_(value)

    @contextmanager
    def _intercepted(self) -> Iterator[None]:
        """Replace the forward of every batch normalization of the model within the `with` block."""
        try:
            for module in self._names:
                vars(module)["forward"] = partial(self._normalize, module)
            yield
        finally:
            for module in self._names:
                vars(module).pop("forward", None)

    def _normalize(self, module: AnyBatchNorm, x: Tensor) -> Tensor:
        if not uses_batch(module):
            y: Tensor = type(module).forward(module, x)
            return y
        module._check_input_dim(x)  # type: ignore[no-untyped-call] # noqa: SLF001 - as it would
        number = self._saved.part
        if self._saved.replaying:
            y = self._normalize_again(module, x)
        elif self._lockstep is not None:
            y = self._normalize_first(self._lockstep, module, x)
        else:
            raise self._not_in_forward(module)
        self._n_met[number] += 1
        self._reseed(number)
        return y

    def _normalize_first(self, lockstep: Steps, module: AnyBatchNorm, x: Tensor) -> Tensor:
        hooks = torch._C._autograd._top_saved_tensors_default_hooks(True)  # noqa: SLF001
        if torch.is_grad_enabled() and hooks[0] != self._saved.pack:
            raise self._not_in_forward(module)
        part = (x, module.weight, module.bias)
        y: Tensor
        y, shared = lockstep.meet(repr(self._names[module]), part, partial(self._join, module))
        if y.requires_grad:
            shared.slots.append(self._saved.pack(x))
        return y

    def _join(self, module: AnyBatchNorm, parts: list[Any]) -> list[tuple[Tensor, JointNormInputs]]:
        inputs = [x for x, _, _ in parts]
        _, weight, bias = parts[0]
        statistics = window_statistics(module, inputs, self._total)
        update_running(module, statistics)
        shared = JointNormInputs(statistics, self._total, weight, self._saved.unpack)
        needs_grad = torch.is_grad_enabled() and any(
            tensor is not None and tensor.requires_grad for tensor in (weight, bias, *inputs)
        )
        self._meetings.append(_Meeting(statistics, needs_grad, [_sample(x) for x in inputs]))
        if needs_grad:
            self._ticket, *outputs = JointNorm.apply(  # type: ignore[no-untyped-call]
                shared, self._ticket, weight, bias, *inputs
            )
        else:
            outputs = [statistics.normalize(x, weight, bias) for x in inputs]
        return [(y, shared) for y in outputs]

    def _normalize_again(self, module: AnyBatchNorm, x: Tensor) -> Tensor:
        number = self._saved.part
        if self._n_met[number] >= len(self._meetings):
            raise replay_differs(f"it calls {self._names[module]!r} again")
        meeting = self._meetings[self._n_met[number]]
        self._compare(meeting.samples[number], _sample(x))
        anchor = torch.empty(0, requires_grad=meeting.needs_grad)
        y: Tensor = KnownNorm.apply(  # type: ignore[no-untyped-call]
            meeting.statistics, anchor, module.weight, module.bias, x
        )
        if y.requires_grad:
            self._saved.pack(x)
        return y

    @torch.no_grad()
    def _compare(self, before: Tensor, now: Tensor) -> None:
        """Record how much a replay differs from the first forward, without a device sync."""
        if before.shape != now.shape:
            raise replay_differs(
                f"an input has the shape {tuple(now.shape)} instead of {tuple(before.shape)}"
            )
        if not before.numel():
            return
        largest = before.abs().max() + torch.finfo(before.dtype).tiny
        off = (before - now).abs().max() / largest / torch.finfo(before.dtype).eps ** 0.5
        off = off.float()  # all on one device, if the model spans several
        self._worst = (
            off if self._worst is None else self._worst.maximum(off.to(self._worst.device))
        )

    def _check_replays(self) -> None:
        if self._worst is not None and float(self._worst) > 1.0:  # sync: float()
            raise replay_differs("it computes other values")

    def _not_in_forward(self, module: AnyBatchNorm) -> ConfigError:
        return ConfigError(
            'with batchnorm="window", a batch normalization must run in the forward itself',
            but=f"{self._names[module]!r} runs in torch.utils.checkpoint or under hooks for saved "
            "tensors",
            fix='Remove these: batchnorm="window" saves memory too.',
        )

    def _reseed(self, number: int) -> None:
        reseed_everything(self._seed, f"window/{number}", self._n_met[number])


def _sample(x: Tensor) -> Tensor:
    """Copy a few values of up to nine rows, to compare them later."""
    rows = x.detach()[:: max(1, len(x) // 8), :32]
    while rows.ndim > 2:
        rows = rows[..., 0]
    return rows.clone()
