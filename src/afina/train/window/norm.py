"""Batch normalization over all rows of a step, however small its micro-batches are.

The forwards of a window's micro-batches run in lockstep and meet at every batch normalization, where
statistics of the whole window are taken. What autograd saves is let go and computed again in groups
while the gradient goes backward. See docs/design/window_norm.md.
"""

import contextlib
from collections.abc import Sequence
from functools import partial

from torch import nn

from afina.errors import ConfigError
from afina.train.batches import Batch
from afina.train.gradient import accumulate, sum_of_batch
from afina.train.loss import WeightedLoss
from afina.train.precision import Forward
from afina.train.snapshots import Buffers
from afina.train.window.checks import FunctionWatch, check_window_norm, uses_batch
from afina.train.window.joint_norm import BatchNorm, SumOverProcesses
from afina.train.window.passes import WindowPass

N_GROUPS = 6
"""A sixth of what the large batch keeps for its backward pass is in memory at a time."""

KEEP_BYTES = 16 * 2**20
"""What is smaller than this is kept: letting it go would save no memory worth the time."""


class WindowNorm:
    """Make a window's gradient with batch normalization over all of its micro-batches.

    Outputs, loss, gradients and running statistics are those of the window as one batch. Random
    numbers are a function of torch's generator, the micro-batch and the place in the forward.

    Args:
        model: must not be changed in between, but for its weights, buffers and modes.
        loss: in the form whose parts add up.
        forward: from a micro-batch's inputs to outputs.
        n_groups: about the n-th part of the saved tensors is in memory at a time; more groups
            take less memory and more time, (3 + (n - 1) / 2) / 3 times the large batch's.
        keep_bytes: bytes of saved tensors that may be in memory in any case.
        sum_over_processes: sums a tensor over all processes, which then share statistics; every
            process must have at least one micro-batch. None: there is one process.

    Raises:
        ConfigError: the model has a module that cannot do this; the message names it.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: WeightedLoss,
        forward: Forward,
        *,
        n_groups: int = N_GROUPS,
        keep_bytes: int = KEEP_BYTES,
        sum_over_processes: SumOverProcesses | None = None,
    ) -> None:
        if n_groups < 1:
            raise ConfigError(f"n_groups must be at least 1, however: {n_groups=}.")
        check_window_norm(model)
        self.model = model
        self.loss = loss
        self.forward = forward
        self.n_groups = n_groups
        self.keep_bytes = keep_bytes
        self.sum_over_processes = sum_over_processes
        self._names = {module: name for name, module in model.named_modules()}
        self._watched = False

    def sum_gradient(self, parts: Sequence[Batch], scale: float = 1.0) -> tuple[float, float]:
        """Leave the gradient of scale times the window's sum of losses in `.grad`.

        Where it fails, buffers and gradients are as they were before.

        Args:
            parts: the micro-batches.
            scale: factor of the gradient, for fp16.

        Returns:
            The sum of the weighted losses, and the sum of their weights.

        Raises:
            ConfigError: the forward does what cannot be done in parts, or run again.
        """
        alone = self.sum_over_processes is None
        if len(parts) == 1 and alone:
            return accumulate(self.loss, self.forward)(parts, scale)
        norms = [m for m in self._names if isinstance(m, BatchNorm) and uses_batch(m)]
        watch = contextlib.nullcontext if self._watched else partial(FunctionWatch, self._names)
        buffers = Buffers(self.model)
        without = [p for p in self.model.parameters() if p.grad is None]
        try:
            if norms:
                step = partial(sum_of_batch, self.loss, self.forward)
                window = WindowPass(
                    self.model,
                    step,
                    parts,
                    watch,
                    self.n_groups,
                    self.keep_bytes,
                    self.sum_over_processes,
                )
                sums = window.gradient(scale, rehearsed=self._watched)
            else:
                with watch():
                    sums = accumulate(self.loss, self.forward)(parts, scale)
        except BaseException:
            buffers.restore()
            for p in without:
                p.grad = None
            raise
        self._watched = True
        return sums
