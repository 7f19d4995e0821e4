"""FSDP2: each process holds one shard of the parameters, gradients and optimizer state.

Checkpoints are whole: four processes write the same checkpoint as one.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from afina.errors import ConfigError
from afina.train.gradient import SumGradient, accumulate
from afina.train.loss import WeightedLoss
from afina.train.precision import Forward
from afina.train.processes import Processes
from afina.train.snapshots import load_optimizer


@contextmanager
def sharded_copy(model: nn.Module, processes: Processes) -> Iterator[nn.Module]:
    """Yield a sharded copy of a model to train, and copy its values into the model at the end.

    Within the `with` block, the model's own parameters take no memory. After an error they are NaN,
    so that they are not mistaken for trained ones, which are in the newest checkpoint.

    Args:
        model: the unsharded model, the same in every process.
        processes: the processes to shard it over.

    Raises:
        ConfigError: there is only one process, or a parameter has no dimensions.
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
    """Shard a model's parameters over the processes, in place; gradients become sums over all.

    Args:
        model: the model; it is gathered as one unit for each forward and backward pass.
        processes: the processes to shard it over.

    Raises:
        ConfigError: there is only one process, or a parameter has no dimensions.
    """
    if processes.alone:
        raise ConfigError(
            'sharding="fsdp2" needs several processes',
            but="there is only one",
            fix="Start the program with torchrun, or leave sharding out.",
        )
    scalars = [name for name, p in model.named_parameters() if p.ndim == 0]
    if scalars:
        raise ConfigError(
            "every parameter must have at least one dimension to be sharded",
            but=f"there is none in {', '.join(scalars)}",
            fix="Make its shape (1,), or leave sharding out.",
        )
    mesh = init_device_mesh(processes.device.type, (processes.n_processes,))
    sharded = fully_shard(model, mesh=mesh)
    # torch's default is the mean over processes; a window is divided once, by its total weight.
    sharded.set_gradient_divide_factor(1.0)
    sharded.set_force_sum_reduction_for_comms(enable=True)
    sharded.set_reduce_scatter_unused_params(reduce_scatter_unused_params=True)
    return model


def accumulate_sharded(model: nn.Module, loss: WeightedLoss, forward: Forward) -> SumGradient:
    """Return the plain method for a sharded model: only a window's last backward exchanges sums.

    Every process must have the same number of micro-batches: each forward gathers the parameters.

    Args:
        model: sharded by `shard_model`.
    """
    return accumulate(loss, forward, before_part=lambda last: sync_gradients(model, last=last))


def sync_gradients(model: nn.Module, *, last: bool) -> None:
    """Let the next backward exchange gradients only if it is the window's last."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
        model.set_is_last_backward(last)


def whole(tree: Any, *, keep: bool = True) -> Any:
    """Gather every sharded tensor of a state; all processes must call this together.

    Args:
        tree: `state_dict()` of a model or an optimizer, or any nest of tensors.
        keep: whether this process needs the result. If not, tensors become `None` one by one, so
            that only the process that writes the whole state holds it in memory.
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
    """Load a whole state into a model that may be sharded; each process takes its own shards."""
    model.load_state_dict(shard_state(model, state))


def shard_state(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Shard a whole state in the same way as the model; each process gets its own shards."""
    own = model.state_dict()
    return {name: _shard(item, own.get(name)) for name, item in state.items()}


def load_optimizer_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load a whole state into an optimizer whose parameters may be sharded."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    shards = {
        index: {name: _shard(item, params[int(index)]) for name, item in values.items()}
        for index, values in state["state"].items()
    }
    load_optimizer(optimizer, {**state, "state": shards})


def _shard(item: Any, like: Any) -> Any:
    """Return this process's shard of a whole tensor if `like` is sharded, else the tensor."""
    if isinstance(like, DTensor) and isinstance(item, Tensor) and item.shape == like.shape:
        moved = item.to(like.device)
        # src_data_rank=None: every process has the whole tensor, so nothing needs to be sent.
        shard = distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)
        return shard.clone()  # a view would keep the whole tensor in memory
    return item
