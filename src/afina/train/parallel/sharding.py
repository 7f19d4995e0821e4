"""FSDP2: parameters, gradients and optimizer state are spread over the ranks, a shard each.

What is saved is whole: a checkpoint written by four shards is the checkpoint of one process.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from afina.errors import ConfigError
from afina.train.batches import Batch
from afina.train.gradient import SumGradient, sum_of_batch
from afina.train.loss import WeightedLoss
from afina.train.precision import Forward
from afina.train.processes import Processes


@contextmanager
def sharded_copy(model: nn.Module, processes: Processes) -> Iterator[nn.Module]:
    """Return a sharded copy of a model to train; at the end the model has the copy's values.

    Inside, the model's own parameters take no memory. After an error they are NaN, so that nobody
    takes them for trained ones: what was trained is in the newest checkpoint.

    Args:
        model: whole, and equal on every rank.
        processes: over whom it is spread.

    Raises:
        ConfigError: there is one process only, or a parameter without dimensions.
    """
    sharded = shard_model(copy.deepcopy(model), processes)
    storages = {p.untyped_storage().data_ptr(): p.untyped_storage() for p in model.parameters()}
    sizes = [(storage, storage.nbytes()) for storage in storages.values()]
    for storage, _ in sizes:
        storage.resize_(0)
    state = None
    try:
        yield sharded
        state = whole(sharded.state_dict())
    finally:
        for storage, size in sizes:
            storage.resize_(size)
        with torch.no_grad():
            for p in model.parameters():
                p.fill_(torch.nan)
    model.load_state_dict(state)


def shard_model(model: nn.Module, processes: Processes) -> nn.Module:
    """Spread a model's parameters over the ranks, in place; gradients become sums over ranks.

    Args:
        model: gathered as one unit for each forward and backward.
        processes: over whom it is spread.

    Raises:
        ConfigError: there is one process only, or a parameter without dimensions.
    """
    if processes.alone:
        raise ConfigError(
            'sharding="fsdp2" needs several processes, however: there is one. '
            "Start it with torchrun, or leave sharding out."
        )
    scalars = [name for name, p in model.named_parameters() if p.ndim == 0]
    if scalars:
        raise ConfigError(
            f"Parameters must have a dimension to be sharded, however: {scalars} have none. "
            "Give them the shape (1,), or leave sharding out."
        )
    mesh = init_device_mesh(processes.device.type, (processes.n_processes,))
    sharded = fully_shard(model, mesh=mesh)
    # torch's default is the mean over ranks; a window is divided once, by its own weight.
    sharded.set_gradient_divide_factor(1.0)
    sharded.set_force_sum_reduction_for_comms(enable=True)
    sharded.set_reduce_scatter_unused_params(reduce_scatter_unused_params=True)
    return model


def accumulate_sharded(model: nn.Module, loss: WeightedLoss, forward: Forward) -> SumGradient:
    """Make a window's gradient; ranks sum theirs in the backward of the last micro-batch alone.

    Every rank must have equally many micro-batches: each forward gathers the parameters.

    Args:
        model: as `shard_model` left it.
    """

    def sum_gradient(parts: Sequence[Batch], scale: float) -> tuple[float, float]:
        sum_of_losses = sum_of_weights = 0.0
        for number, batch in enumerate(parts, start=1):
            sync_gradients(model, last=number == len(parts))
            total, weight = sum_of_batch(loss, forward, batch)
            (total * scale if scale != 1.0 else total).backward()  # type: ignore[no-untyped-call]
            sum_of_losses += total.item()  # sync: .item()
            sum_of_weights += float(weight)
        return sum_of_losses, sum_of_weights

    return sum_gradient


def sync_gradients(model: nn.Module, *, last: bool) -> None:
    """Let ranks exchange gradients in the next backward only if it is the window's last."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
        model.set_is_last_backward(last)


def whole(tree: Any, *, keep: bool = True) -> Any:
    """Make every sharded tensor of a state whole; all ranks must call this together.

    Args:
        tree: `state_dict()` of a model or an optimizer, or any nest of tensors.
        keep: whether this rank wants the result; if not, tensors become `None` one by one, so
            that the whole state is in memory only where it is written.
    """
    if isinstance(tree, DTensor):
        full = tree.full_tensor().detach()
        return full if keep else None
    if isinstance(tree, Mapping):
        return {key: whole(item, keep=keep) for key, item in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(whole(item, keep=keep) for item in tree)
    return tree


def load_model_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a whole state into a model that may be sharded; each rank takes its own part."""
    model.load_state_dict(shard_state(model, state))


def shard_state(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cut a whole state as the model's own is cut; each rank gets its own part."""
    now = model.state_dict()
    return {name: _part(item, now.get(name)) for name, item in state.items()}


def load_optimizer_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load a whole state into an optimizer whose parameters may be sharded."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    parts = {
        index: {name: _part(item, params[int(index)]) for name, item in values.items()}
        for index, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": parts})


def _part(item: Any, like: Any) -> Any:
    """Cut this rank's part out of a whole tensor, where its like is sharded."""
    if isinstance(like, DTensor) and isinstance(item, Tensor) and item.shape == like.shape:
        moved = item.to(like.device)
        # src_data_rank=None: everyone has the whole, so nothing needs to be sent.
        part = distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)
        return part.clone()  # a view would keep the whole in memory
    return item
