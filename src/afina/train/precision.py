"""Half precision: autocast, and the loss scale that keeps small fp16 gradients from vanishing."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from afina.errors import ConfigError
from afina.train.nests import map_tensors
from afina.train.settings import Precision

Forward: TypeAlias = Callable[[Any], Any]

FIRST_SCALE = 2.0**16
SMALLEST_SCALE = 2.0**-14
GROW_AFTER = 2000
"""Steps without overflow before the scale is doubled (the values of torch's GradScaler)."""


def with_autocast(forward: Forward, precision: Precision, device: torch.device) -> Forward:
    """Run a forward under autocast, and convert its floating-point outputs to float32 for the loss.

    Args:
        precision: `float32` leaves the forward unchanged.

    Raises:
        ConfigError: the device has no autocast.
    """
    if precision == "float32":
        return forward
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    if not torch.amp.autocast_mode.is_autocast_available(device.type):
        raise ConfigError(
            f"precision={precision!r} needs a device with autocast",
            got=device.type,
            fix='Use precision="float32".',
        )

    def half_forward(x: Any) -> Any:
        with torch.autocast(device.type, dtype=dtype):
            output = forward(x)
        return map_tensors(_as_float32, output)

    return half_forward


def next_scale(scale: float, n_good: int) -> tuple[float, int]:
    """Return the loss scale and the number of steps without overflow, after one more such step.

    Source: Micikevicius et al. 2018, arXiv:1710.03740, section 3.2 (dynamic loss scaling).

    Example:
        >>> next_scale(4.0, 0), next_scale(4.0, 1999)
        ((4.0, 1), (8.0, 0))
    """
    if n_good + 1 < GROW_AFTER:
        return scale, n_good + 1
    return min(scale * 2.0, 2.0**40), 0


def _as_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
