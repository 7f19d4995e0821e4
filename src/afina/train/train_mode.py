"""Train mode during a fit, and whether rows affect each other in it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from afina.nn.eval_mode import restored_modes

AnyBatchNorm = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - the class all of them share


@contextmanager
def train_mode(model: nn.Module) -> Iterator[None]:
    """Put a model that is entirely in eval mode in train mode for the `with` block.

    In a model in train mode, submodules in eval mode stay so, because the user froze them.
    """
    with restored_modes(model):
        if not model.training:
            model.train()
        yield


def has_batch_norm(model: nn.Module) -> bool:
    """Return whether the rows of a batch affect each other's outputs in train mode."""
    return any(isinstance(module, AnyBatchNorm) for module in model.modules())
