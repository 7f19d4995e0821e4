"""Collect all tensors of a run from model, optimizer and state, and load them back."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from afina.train.snapshots import load_optimizer
from afina.train.state import TrainState, copied_state


def all_tensors(
    model: nn.Module,
    optimizer: Optimizer,
    state: TrainState,
    *,
    sharded: bool = False,
    keep: bool = True,
) -> dict[str, Any]:
    """Return every tensor that a resume needs, unsharded, as nested states by name.

    Args:
        sharded: whether the model is sharded; then all processes must call this together.
        keep: whether this process needs the result.
    """
    trees: dict[str, Any] = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    if state.best_weights is not None:
        trees["best"] = state.best_weights
    if state.average is not None:
        trees["average"] = state.average.values
    if sharded:
        from afina.train.parallel import sharding  # noqa: PLC0415 - takes a second

        return dict(sharding.whole(trees, keep=keep))
    return trees


def load_tensors(
    model: nn.Module, optimizer: Optimizer, trees: Mapping[str, Any], *, sharded: bool = False
) -> Mapping[str, Any]:
    """Load the result of `all_tensors` into model and optimizer.

    Returns:
        The other states, sharded if the model is.
    """
    if not sharded:
        model.load_state_dict(trees["model"])
        load_optimizer(optimizer, trees["optimizer"])
        return trees
    from afina.train.parallel import sharding  # noqa: PLC0415 - takes a second

    sharding.load_model_state(model, trees["model"])
    sharding.load_optimizer_state(optimizer, trees["optimizer"])
    others = trees.keys() - {"model", "optimizer"}
    return {name: sharding.shard_state(model, trees[name]) for name in others}


def end_on_best(model: nn.Module, state: TrainState) -> None:
    """Leave the best weights in the model or, without validation rows, the average or last ones."""
    best = state.best_weights
    if best is None and state.average is not None:
        with state.averaged(model):
            best = copied_state(model)
    if best is not None:
        model.load_state_dict(best)
