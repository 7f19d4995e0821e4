"""Refuse models that do not support batch normalization over a window, and name the module."""

import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from afina.errors import ConfigError
from afina.train.train_mode import AnyBatchNorm

_FUNCTIONS = {
    "batch_norm",
    "cudnn_batch_norm",
    "miopen_batch_norm",
    "native_batch_norm",
    "_native_batch_norm_legit",
}
"""Functions of torch that normalize by the batch."""

_TRAINING_AT = 5
"""Position of `training` among the arguments of each."""


def check_window_norm(model: nn.Module) -> None:
    """Raise unless every batch normalization of a model can share statistics over a window.

    Raises:
        ConfigError: a module cannot do this; the message names it.

    Example:
        >>> check_window_norm(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    """
    for name, module in model.named_modules():
        if (why := _why_not(module)) is not None:
            where = repr(name) if name else "the model"
            raise ConfigError(
                'batchnorm="window" needs modules whose forward can be paused and run again',
                but=f"{where} is a {type(module).__name__}",
                fix=why,
            )


class FunctionWatch(TorchFunctionMode):
    """In the `with` block, refuse batch normalization that is called as a function.

    Args:
        names: names of the model's modules, for the message.
    """

    def __init__(self, names: Mapping[nn.Module, str]) -> None:
        super().__init__()
        self._names = names

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function unless it normalizes by the batch."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _FUNCTIONS:
            training = kwargs.get("training", args[_TRAINING_AT] if len(args) > _TRAINING_AT else 0)
            if training:
                raise ConfigError(
                    'with batchnorm="window", a model must use nn.BatchNorm modules',
                    but=f"{self._caller()} calls {func.__name__} as a function",
                    fix='Use nn.BatchNorm1d, 2d or 3d as a submodule, or batchnorm="microbatch".',
                )
        return func(*args, **kwargs)

    def _caller(self) -> str:
        """Name the innermost module whose forward is running."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - only to name the module
        while frame is not None:
            module = frame.f_locals.get("self")
            if isinstance(module, nn.Module):
                name = self._names.get(module)
                kind = type(module).__name__
                return f"{name!r} ({kind})" if name else f"a {kind}"
            frame = frame.f_back
        return "the forward"


def uses_batch(module: AnyBatchNorm) -> bool:
    """Return whether a batch normalization uses the batch's statistics in its current mode."""
    return module.training or (module.running_mean is None and module.running_var is None)


def _why_not(module: nn.Module) -> str | None:
    """Return what to do about a module that cannot run in lockstep; None if it can."""
    if isinstance(module, nn.SyncBatchNorm):
        return "Use nn.BatchNorm1d, 2d or 3d: the window's statistics are shared anyway."
    if isinstance(module, AnyBatchNorm):
        return _why_not_norm(module)
    if isinstance(module, nn.modules.instancenorm._InstanceNorm) and module.track_running_stats:  # noqa: SLF001
        return (
            "Pass track_running_stats=False: its running statistics change with every micro-batch."
        )
    if isinstance(module, torch.jit.ScriptModule):
        return "Use the module that it was scripted from."
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return "Pass the module inside it."
    kinds = {kind.__name__ for kind in type(module).__mro__}
    if "FSDPModule" in kinds or "FullyShardedDataParallel" in kinds:
        return 'Use batchnorm="microbatch", or do not shard the model.'
    if "OptimizedModule" in kinds or module._compiled_call_impl is not None:  # noqa: SLF001
        return "Use the module as it was before torch.compile."
    hooks = module._forward_pre_hooks.values()  # noqa: SLF001 - torch keeps old-style spectral norms there
    if "_SpectralNorm" in kinds or any(type(hook).__name__ == "SpectralNorm" for hook in hooks):
        return "Spectral normalization changes with every micro-batch; leave it out."
    return None


def _why_not_norm(module: AnyBatchNorm) -> str | None:
    tensors = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    if any(nn.parameter.is_lazy(tensor) for tensor in tensors):
        return "Run the model on a few rows first, so that its width is known."
    if type(module).forward is not AnyBatchNorm.forward or "forward" in vars(module):
        return "It overrides forward; use nn.BatchNorm1d, 2d or 3d."
    return None
