"""Train and eval mode: each module gets its own mode back."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put every module in eval mode inside; give each its own mode back afterwards."""
    with _own_modes(model):
        model.eval()
        yield


@contextmanager
def train_mode(model: nn.Module) -> Iterator[None]:
    """Put a model that is in eval mode as a whole in train mode inside; then as `eval_mode`.

    Submodules in eval mode inside a model in train mode are left so: somebody froze them.
    """
    with _own_modes(model):
        if not model.training:
            model.train()
        yield


def has_batch_norm(model: nn.Module) -> bool:
    """Tell if a model looks across rows while it trains."""
    kind = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - the class all of them share
    return any(isinstance(m, kind) for m in model.modules())


@contextmanager
def _own_modes(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
