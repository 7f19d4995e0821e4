"""One sum for all ranks: gradients at the window's end, and buffers that a forward pass moves."""

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
    """Replace each rank's gradient of its sum of losses by the sum over all ranks.

    A parameter without a gradient on this rank counts as zeros if it has one elsewhere, and stays
    without one if it has none anywhere. All ranks end with the same bits. The mean is the
    caller's: one division by the whole weight, never a mean of the ranks' means.

    Args:
        processes: who takes part.
        params: the same ones in the same order on every rank.
        sum_of_losses: this rank's losses times their weights.
        sum_of_weights: this rank's weights.
        flags: raised for all if one rank raises them, on the same occasion.

    Returns:
        The two sums over all ranks, added in float64, and the flags.

    Raises:
        ConfigError: a gradient is sparse.
    """
    if processes.alone:
        return sum_of_losses, sum_of_weights, list(flags)
    if any(p.grad is not None and p.grad.layout is not torch.strided for p in params):
        raise ConfigError(
            "Gradients must be dense with several processes, however: one is sparse. "
            "Use sparse=False in nn.Embedding."
        )
    present = [float(p.grad is not None) for p in params]
    # Beside the gradients, not in them: float32 holds whole weights only up to 2**24.
    head = torch.tensor(
        [sum_of_losses, sum_of_weights, *present, *flags],
        dtype=torch.float64,
        device=processes.device,
    )
    pending = [dist.all_reduce(head, async_op=True)]
    flats = []
    for alike in _by_kind(params):
        flat = torch.cat([_flat_gradient(p) for p in alike])
        pending.append(dist.all_reduce(flat, async_op=True))
        flats.append((alike, flat))
    for work in pending:
        work.wait()
    losses, weights, *counts = head.tolist()  # sync: .tolist()
    raised = [int(count > 0) for count in counts[len(params) :]]
    anywhere = {id(p) for p, count in zip(params, counts, strict=False) if count}
    for alike, flat in flats:
        _give_back([p.numel() for p in alike], alike, flat, anywhere)
    return losses, weights, raised


def sum_tensor(processes: Processes, tensor: Tensor) -> Tensor:
    """Sum a tensor over all ranks; every rank gets the same bits.

    Shape:
        (*) -> (*)
    """
    total = tensor.detach().clone()
    if not processes.alone:
        dist.all_reduce(total)
    return total


class MovingBuffers:
    """Buffers that forward passes change, such as batch normalization's running statistics.

    Each rank sees its own rows, so each would end with statistics of its own. After a step, those
    that moved on any rank become the mean over the ranks, by their rows; whole numbers (counts of
    batches) become rank 0's. Those that stand still are never touched.

    Args:
        model: whose buffers; the same on every rank now.
        processes: who takes part.
    """

    def __init__(self, model: nn.Module, processes: Processes) -> None:
        self.processes = processes
        self.buffers = [] if processes.alone else list(model.buffers())
        self.before = [buffer.clone() for buffer in self.buffers]

    def moved(self) -> list[int]:
        """Say of each buffer whether it has moved on this rank; to be agreed on by all."""
        # By value: torch's batch normalization leaves the version counter as it was.
        pairs = zip(self.buffers, self.before, strict=True)
        return [int(not torch.equal(now, before)) for now, before in pairs]

    @torch.no_grad()
    def average(self, moved: Sequence[int], n_rows: int) -> None:
        """Make those buffers the same on every rank.

        Args:
            moved: which ones moved on any rank.
            n_rows: rows that this rank saw since the last time; 0 leaves it out of the mean.
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
    """Make a window's gradient of the parts that each rank makes: nothing is exchanged before.

    Args:
        sum_gradient: makes this rank's part.
        sharded: the backward passes have summed the gradients already.
        halve: memory may not suffice on one rank; all then raise MemoryError together.
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
    """Put parameters of one type and place together, in an order that all ranks share."""

    def kind(p: nn.Parameter) -> tuple[str, str]:
        return str(p.dtype), str(p.device)

    return [list(alike) for _, alike in itertools.groupby(sorted(params, key=kind), key=kind)]


def _flat_gradient(p: nn.Parameter) -> Tensor:
    return p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1)


def _give_back(
    sizes: list[int], params: list[nn.Parameter], flat: Tensor, anywhere: set[int]
) -> None:
    """Copy sums into the gradients; the copy keeps each one's memory layout."""
    grads, sums = [], []
    for p, part in zip(params, flat.split(sizes), strict=True):  # type: ignore[no-untyped-call]
        if id(p) in anywhere:
            p.grad = torch.empty_like(p) if p.grad is None else p.grad
            grads.append(p.grad)
            sums.append(part.view_as(p))
    if grads:
        torch._foreach_copy_(grads, sums)  # one kernel for all
