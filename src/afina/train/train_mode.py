"""Train mode during a fit, and whether rows affect each other in train mode."""

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary, WeakSet

from torch import nn

from afina.nn.eval_mode import restored_modes

_frozen: WeakKeyDictionary[nn.Module, WeakSet[nn.Module]] = WeakKeyDictionary()
"""By model: the modules that were in eval mode when the rest was last trained."""

AnyBatchNorm = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - the class all of them share


@contextmanager
def train_mode(model: nn.Module) -> Iterator[None]:
    """Put a model that is entirely in eval mode into train mode for the `with` block.

    Where some modules are in train mode, those in eval mode stay in it, because the user froze
    them. They also stay in it in a later fit if the whole model was put in eval mode in between.
    """
    modules = list(model.modules())
    with restored_modes(model):
        if any(module.training for module in modules):
            _frozen[model] = WeakSet(module for module in modules if not module.training)
        else:
            model.train()
            for module in set(modules) & set(_frozen.get(model, ())):
                module.training = False
        yield


def has_batch_norm(model: nn.Module) -> bool:
    """Return whether the rows of a batch affect each other's outputs in train mode."""
    return any(isinstance(module, AnyBatchNorm) for module in model.modules())
