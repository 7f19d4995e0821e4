"""Sums over all processes: gradients at the end of a window, and changed buffers."""

import itertools
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from afina.errors import ConfigError
from afina.train.batches import Batch, count_rows
from afina.train.gradient import SumGradient, is_out_of_memory
from afina.train.processes import Processes


def sum_gradients(
    processes: Processes,
    params: Sequence[nn.Parameter],
    sum_of_losses: float,
    sum_of_weights: float,
    flags: Sequence[int] = (),
) -> tuple[float, float, list[int]]:
    """Replace each process's gradient of its sum of losses with the sum over all processes.

    If a parameter has a gradient only in other processes, its gradient counts as zeros here; a
    parameter without a gradient anywhere stays without one. All processes end with the same bits.
    The caller takes the mean: one division by the total weight, never a mean of means.

    Args:
        processes: the participating processes.
        params: the parameters, in the same order in every process.
        sum_of_losses: this process's losses times their weights.
        sum_of_weights: this process's weights.
        flags: whole numbers sent along; a flag is 1 for all processes if it is 1 in any.

    Returns:
        The two sums over all processes, added in float64, and the flags.

    Raises:
        ConfigError: a gradient is sparse.
    """
    if processes.alone:
        return sum_of_losses, sum_of_weights, list(flags)
    if any(p.grad is not None and p.grad.layout is not torch.strided for p in params):
        raise ConfigError(
            "gradients must be dense with several processes",
            but="one is sparse",
            fix="Use sparse=False in nn.Embedding.",
        )
    present = [float(p.grad is not None) for p in params]
    # Next to the gradients, not in them: float32 is exact for whole weights only up to 2**24.
    head = torch.tensor(
        [sum_of_losses, sum_of_weights, *present, *flags],
        dtype=torch.float64,
        device=processes.device,
    )
    pending = [dist.all_reduce(head, async_op=True)]
    flats = []
    for group in _by_kind(params):
        flat = torch.cat([_flat_gradient(p) for p in group])
        pending.append(dist.all_reduce(flat, async_op=True))
        flats.append((group, flat))
    for work in pending:
        work.wait()
    losses, weights, *counts = head.tolist()  # sync: .tolist()
    raised = [int(count > 0) for count in counts[len(params) :]]
    anywhere = {id(p) for p, count in zip(params, counts, strict=False) if count}
    for group, flat in flats:
        _copy_back(group, flat, anywhere)
    return losses, weights, raised


def sum_tensor(processes: Processes, tensor: Tensor) -> Tensor:
    """Sum a tensor over all processes; all of them get the same bits.

    Shape:
        (*) -> (*)
    """
    total = tensor.detach().clone()
    if not processes.alone:
        dist.all_reduce(total)
    return total


class MovingBuffers:
    """The buffers that forward passes change, such as batch normalization's running statistics.

    Each process sees different rows, so each would end with different statistics. After a step, a
    buffer that changed in any process becomes the mean over the processes, weighted by their rows;
    whole numbers (counts of batches) become those of process 0. Unchanged buffers are not touched.

    Args:
        model: the model with the buffers, which must now be the same in every process.
        processes: the participating processes.
    """

    def __init__(self, model: nn.Module, processes: Processes) -> None:
        self.processes = processes
        self.buffers = [] if processes.alone else list(model.buffers())
        self.before = [buffer.clone() for buffer in self.buffers]

    def moved(self) -> list[int]:
        """Return for each buffer whether it changed in this process; other processes may differ."""
        # By value: torch's batch normalization leaves the version counter as it was.
        pairs = zip(self.buffers, self.before, strict=True)
        return [int(not torch.equal(now, before)) for now, before in pairs]

    @torch.no_grad()
    def average(self, moved: Sequence[int], n_rows: int) -> None:
        """Give the changed buffers the same values in every process.

        Args:
            moved: for each buffer, whether it changed in any process.
            n_rows: rows that this process has seen since the last call; 0 excludes this process
                from the mean.
        """
        chosen = [i for i, flag in enumerate(moved) if flag]
        if not chosen:
            return
        first = float(self.processes.first)
        parts = [torch.tensor([n_rows], dtype=torch.float64, device=self.processes.device)]
        for now in (self.buffers[i] for i in chosen):
            amount = n_rows if now.is_floating_point() else first
            parts.append(now.double().flatten() * amount)
        flat = torch.cat(parts)
        dist.all_reduce(flat)
        total, *sums = flat.split([part.numel() for part in parts])  # type: ignore[no-untyped-call]
        for i, added in zip(chosen, sums, strict=True):
            now = self.buffers[i]
            now.copy_((added / total if now.is_floating_point() else added).view_as(now))
            self.before[i].copy_(now)


def over_processes(
    processes: Processes,
    model: nn.Module,
    sum_gradient: SumGradient,
    *,
    sharded: bool = False,
    halve: bool = False,
) -> SumGradient:
    """Return a method that sums the gradients of all processes at the end of the window.

    Args:
        sum_gradient: computes this process's gradient.
        sharded: whether the backward passes have already summed the gradients.
        halve: whether all raise MemoryError together if one process runs out of memory.
    """
    params = [] if sharded else [p for p in model.parameters() if p.requires_grad]
    buffers = MovingBuffers(model, processes)

    def summed(parts: Sequence[Batch], scale: float) -> tuple[float, float]:
        losses = weights = 0.0
        fits = True
        try:
            losses, weights = sum_gradient(parts, scale)
        except (RuntimeError, MemoryError) as error:
            if not halve or not is_out_of_memory(error):
                raise
            fits = False
        if halve and processes.agree([int(not fits)])[0]:
            raise MemoryError("out of memory in one of the processes")
        losses, weights, moved = sum_gradients(
            processes, params, losses, weights, flags=buffers.moved()
        )
        buffers.average(moved, sum(count_rows(batch) for batch in parts))
        return losses, weights

    return summed


def _by_kind(params: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Group parameters by type and device, in the same order in every process."""

    def kind(p: nn.Parameter) -> tuple[str, str]:
        return str(p.dtype), str(p.device)

    return [list(group) for _, group in itertools.groupby(sorted(params, key=kind), key=kind)]


def _flat_gradient(p: nn.Parameter) -> Tensor:
    return p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1)


def _copy_back(params: list[nn.Parameter], flat: Tensor, anywhere: set[int]) -> None:
    """Copy sums into the gradients, each of which keeps its memory layout."""
    sizes = [p.numel() for p in params]
    grads, sums = [], []
    for p, part in zip(params, flat.split(sizes), strict=True):  # type: ignore[no-untyped-call]
        if id(p) in anywhere:
            p.grad = torch.empty_like(p) if p.grad is None else p.grad
            grads.append(p.grad)
            sums.append(part.view_as(p))
    if grads:
        torch._foreach_copy_(grads, sums)  # one kernel for all
