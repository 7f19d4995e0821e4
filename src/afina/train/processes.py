"""Several processes that train one model, started by `torchrun`.

Every process holds the whole model, takes its share of each window's rows, and exchanges data with
the others once, at the end of the window. Nothing is pickled: tensors are sent as raw bytes,
everything else as JSON.
"""

import importlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from afina.errors import AfinaError, PeerError

T = TypeVar("T")
CPU = torch.device("cpu")
LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The variables that torchrun (or another launcher) sets in the environment of each process."""


@dataclass(frozen=True)
class Processes:
    """The processes of one run, as seen from one of them. A single process exchanges nothing.

    Args:
        rank: this process's number, from 0. Process 0 writes files, runs observers and decides.
        n_processes: number of processes.
        device: the device for exchanged tensors: with nccl, this process's own GPU.
    """

    rank: int = 0
    n_processes: int = 1
    device: torch.device = CPU

    @property
    def alone(self) -> bool:
        """Return whether there is only one process."""
        return self.n_processes == 1

    @property
    def first(self) -> bool:
        """Return whether this is the process that writes files and runs observers."""
        return self.rank == 0

    def agree(self, flags: Sequence[int]) -> list[int]:
        """Return the maximum of each flag over all processes, so that all of them act alike.

        Args:
            flags: whole numbers, such as whether to stop; the same number of them in every process.
        """
        if self.alone or not flags:
            return list(flags)
        highest = torch.tensor(flags, dtype=torch.int64, device=self.device)
        dist.all_reduce(highest, op=dist.ReduceOp.MAX)
        agreed: list[int] = highest.tolist()
        return agreed

    def broadcast_(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors with those of process 0, in place; shapes and types must be the same."""
        if self.alone:
            return
        sent = [tensor.detach().to(self.device).contiguous() for tensor in tensors]
        for work in [dist.broadcast(part, src=0, async_op=True) for part in sent]:
            work.wait()
        if not self.first:
            with torch.no_grad():
                for tensor, part in zip(tensors, sent, strict=True):
                    tensor.copy_(part)  # does nothing where `part` is the tensor itself

    def broadcast_json(self, value: Any) -> Any:
        """Return process 0's value in every process; floats keep every bit.

        Args:
            value: anything that JSON can hold; only process 0's value is used.
        """
        if self.alone:
            return value
        data = json.dumps(value).encode() if self.first else b""
        size = torch.tensor([len(data)], dtype=torch.int64, device=self.device)
        dist.broadcast(size, src=0)
        text = torch.zeros(int(size), dtype=torch.uint8)
        if self.first:
            text = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        text = text.to(self.device)
        dist.broadcast(text, src=0)
        return json.loads(bytes(text.tolist()))


ALONE = Processes()


def only_first(processes: Processes, work: Callable[[], T]) -> T | None:
    """Run `work` in process 0 only, while the others wait; if it fails, all fail.

    Returns:
        The result in process 0, None elsewhere.

    Raises:
        AfinaError: the error of `work`; in the other processes, a PeerError with its message.
    """
    if processes.alone:
        return work()
    error, result = None, None
    if processes.first:
        try:
            result = work()
        except AfinaError as failed:
            error = failed
    message = processes.broadcast_json(error and str(error))
    if error is not None:
        raise error
    if message is not None:
        raise PeerError(f"process 0 stopped the run: {message}", relayed=True)
    return result


def all_together(processes: Processes, work: Callable[[], T]) -> T:
    """Run `work` in every process; if it fails in one, all fail.

    Raises:
        AfinaError: the error of `work` in this process; or a PeerError if `work` failed only in
            others, or also in process 0, which then reports it for all.
    """
    if processes.alone:
        return work()
    error = None
    try:
        result = work()
    except AfinaError as failed:
        error = failed
    of_first, of_any = processes.agree(
        [int(processes.first and error is not None), error is not None]
    )
    if of_any and (error is None or (of_first and not processes.first)):
        raise PeerError(
            "another process stopped the run", fix="See its message.", relayed=True
        ) from error
    if error is not None:
        raise error
    return result


def share(n_rows: int, rank: int, n_processes: int, *, least: int = 1) -> range:
    """Return the rows of a window that one process takes: an even, contiguous share or none.

    Args:
        n_rows: rows of the window.
        rank: number of the process.
        n_processes: number of processes that share the rows.
        least: smallest number of rows in a share that is not empty (2 for batch normalization,
            which cannot train on one row). If there are too few rows, the last processes get none.

    Example:
        >>> [share(7, rank, 3) for rank in range(3)]
        [range(0, 3), range(3, 5), range(5, 7)]
        >>> [len(share(3, rank, 2, least=2)) for rank in range(2)]
        [3, 0]
    """
    n_shares = min(n_processes, max(1, n_rows // least))
    if rank >= n_shares:
        return range(n_rows, n_rows)
    size, left = divmod(n_rows, n_shares)
    first = rank * size + min(rank, left)
    return range(first, first + size + (rank < left))


@contextmanager
def current_processes(device: torch.device = CPU) -> Iterator[Processes]:
    """Join the processes that were started together with this one, and leave them at the end.

    An existing process group is used and left open. If there is none, and a launcher has set the
    environment, one is opened: gloo on the CPU, nccl on GPUs.

    Args:
        device: the model's device; `cuda` without a number becomes this process's GPU.

    Raises:
        PeerError: the other processes cannot be reached.
    """
    if not dist.is_available():
        yield ALONE
        return
    if dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size(), device)
        return
    if any(name not in os.environ for name in LAUNCHED) or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    device = own_device(device, os.environ)
    with naming_lost_peers("Start all of them again."):
        _open_group(device)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), device)
    except PeerError:
        if device.type == "cpu":  # nccl would wait for the lost processes
            dist.destroy_process_group()
        raise
    except BaseException:
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def _open_group(device: torch.device) -> None:
    # The first optimizer imports this. An import while a group is open would keep the group alive,
    # and gloo's threads could then abort the process when Python exits.
    importlib.import_module("torch._dynamo")
    store, rank, n_processes = next(rendezvous("env://"))
    # The launcher's store outlives a group: a second group would read the addresses of the first.
    number = store.add(f"afina/opened by {rank}", 1)
    own_store = PrefixStore(f"afina/{number}", store)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        dist.init_process_group(
            "nccl", store=own_store, rank=rank, world_size=n_processes, device_id=device
        )
    else:
        dist.init_process_group("gloo", store=own_store, rank=rank, world_size=n_processes)


def own_device(device: torch.device, environ: Mapping[str, str]) -> torch.device:
    """Return this process's own GPU if `device` is `cuda` without a number, else `device`.

    Args:
        device: the model's device.
        environ: environment variables with LOCAL_RANK, this process's number on its machine.
    """
    if str(device) != "cuda":
        return device
    n_devices = max(1, torch.cuda.device_count())
    return torch.device("cuda", int(environ.get("LOCAL_RANK", "0")) % n_devices)


@contextmanager
def naming_lost_peers(advice: str = "") -> Iterator[None]:
    """Raise a PeerError in place of the errors of gloo and nccl when another process is gone.

    Args:
        advice: what to do, such as how to resume the run.

    Raises:
        PeerError: another process has ended, or does not respond.
    """
    try:
        yield
    except RuntimeError as error:
        if not _is_lost_peer(error):
            raise
        raise PeerError(
            "another process of the run has ended or does not respond", fix=advice or None
        ) from error


def _is_lost_peer(error: RuntimeError) -> bool:
    text = str(error)  # gloo has no error class; its messages name its source files
    return isinstance(error, dist.DistError) or "gloo" in text or "closed by peer" in text
