"""Batch normalization over all rows of a step, regardless of the micro-batch size.

The forwards of a window's micro-batches run in lockstep and meet at every batch normalization, where
statistics of the whole window are computed. Most tensors that autograd saves are released, and
recomputed in groups during the backward pass. See docs/design/window_norm.md.
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
from afina.train.train_mode import AnyBatchNorm
from afina.train.window.joint_norm import SumOverProcesses
from afina.train.window.passes import WindowPass
from afina.train.window.unsupported import FunctionWatch, check_window_norm, uses_batch

N_GROUPS = 6
"""A sixth of the tensors that the large batch saves for its backward pass is in memory at once."""

KEEP_BYTES = 16 * 2**20
"""Up to this size, saved tensors are kept: releasing them would save too little memory for the
time."""


class WindowNorm:
    """Compute a window's gradient with batch normalization over all of its micro-batches.

    Outputs, loss, gradients and running statistics are those of the window as one batch. Random
    numbers are a function of torch's generator, the micro-batch and the place in the forward.

    Args:
        model: the model; only its weights, buffers and modes may change between windows.
        loss: loss in the form of sums and weights.
        forward: maps the inputs of a micro-batch to outputs.
        n_groups: about one n-th of the saved tensors is in memory at a time; more groups take less
            memory and more time: (3 + (n - 1) / 2) / 3 times that of the large batch.
        keep_bytes: bytes of saved tensors that may always be in memory.
        sum_over_processes: sums a tensor over all processes, which then share statistics; every
            process must have at least one micro-batch. None: there is only one process.

    Raises:
        ConfigError: a module of the model does not support this; the message names it.
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
            raise ConfigError(
                "n_groups must be at least 1",
                got=str(n_groups),
                fix="Leave it out for the default.",
            )
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
        """Compute the gradient of scale times the window's sum of losses, and store it in `.grad`.

        After an error, buffers and gradients are as they were before.

        Args:
            parts: the micro-batches.
            scale: factor of the gradient, needed for fp16.

        Returns:
            The sum of the weighted losses, and the sum of their weights.

        Raises:
            ConfigError: the forward pass does something that cannot be done in parts or repeated.
        """
        if len(parts) == 1 and self.sum_over_processes is None:
            return accumulate(self.loss, self.forward)(parts, scale)
        norms = [m for m in self._names if isinstance(m, AnyBatchNorm) and uses_batch(m)]
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
