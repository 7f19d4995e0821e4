"""Batch, layer and RMS normalization: the formulas in plain code, and torch's kernels for networks.

The functions are for reading and checking; networks use torch's modules, from `make_norm`, because
those compute the same numbers several times faster.
"""

from typing import get_args

import torch
from torch import Tensor, nn

from afina.nn.choices import NormKind

NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
"""All of torch's normalizations that can have a scale and a shift."""


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Center and scale each feature: by the batch while training, otherwise by running statistics.

    While training, `running_mean` and `running_var` move in place toward the batch statistics by
    `momentum`. The batch is normalized with its biased variance (/N); the running variance uses the
    unbiased one (/(N-1)).

    Shape:
        (n, n_features, *) -> (n, n_features, *)

    Args:
        weight: scale of each feature (gamma). None: 1.
        bias: shift of each feature (beta). None: 0.
        momentum: weight of the newest batch in the running statistics, in (0, 1].
        eps: added to the variance before the square root.

    Raises:
        ValueError: while training, there is only one value for each feature, and therefore no
            variance.

    Example:
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> mean, var = torch.zeros(1), torch.ones(1)
        >>> batch_norm(x, mean, var, training=True).flatten().tolist()
        [-0.9999949932098389, 0.9999949932098389]
        >>> round(mean.item(), 4), round(var.item(), 4)
        (0.2, 1.1)

    Source: Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1.
    """
    shape = [1, -1] + [1] * (x.ndim - 2)  # (n_features,) -> (1, n_features, 1, ...)
    if training:
        others = [d for d in range(x.ndim) if d != 1]
        n = x.numel() // x.shape[1]
        if n < 2:
            raise ValueError(
                "Batch normalization needs at least two values of each feature to train; got "
                f"x.shape={tuple(x.shape)}. Use larger batches, or layer normalization."
            )
        mean = x.mean(others)
        var = (x - mean.view(shape)).square().mean(others)
        with torch.no_grad():
            running_mean.mul_(1 - momentum).add_(momentum * mean)
            running_var.mul_(1 - momentum).add_(momentum * var * n / (n - 1))
    else:
        mean, var = running_mean, running_var
    x_norm = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + eps)
    if weight is not None:
        x_norm = x_norm * weight.view(shape)
    if bias is not None:
        x_norm = x_norm + bias.view(shape)
    return x_norm


def layer_norm(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *, eps: float = 1e-5
) -> Tensor:
    """Center and scale each row by the mean and biased variance of its own features.

    Shape:
        (*, n_features) -> (*, n_features)

    Args:
        weight: scale of each feature (gamma). None: 1.
        bias: shift of each feature (beta). None: 0.
        eps: added to the variance before the square root.

    Example:
        >>> x = torch.tensor([[16.0, 14.0, 12.0]], dtype=torch.float64)
        >>> layer_norm(x).round(decimals=4).tolist()
        [[1.2247, 0.0, -1.2247]]

    Source: Ba, Kiros & Hinton 2016, arXiv:1607.06450, equation 4.
    """
    mean = x.mean(-1, keepdim=True)
    var = (x - mean).square().mean(-1, keepdim=True)
    x_norm = (x - mean) / torch.sqrt(var + eps)
    if weight is not None:
        x_norm = x_norm * weight
    if bias is not None:
        x_norm = x_norm + bias
    return x_norm


def rms_norm(x: Tensor, weight: Tensor | None = None, *, eps: float = 1e-5) -> Tensor:
    """Scale each row by the root mean square of its own features, without centering.

    Shape:
        (*, n_features) -> (*, n_features)

    Args:
        weight: scale of each feature (gamma). None: 1.
        eps: added to the mean square before the square root.

    Example:
        >>> x = torch.tensor([[16.0, 14.0, 12.0]], dtype=torch.float64)
        >>> rms_norm(x).round(decimals=4).tolist()
        [[1.1352, 0.9933, 0.8514]]

    Source: Zhang & Sennrich 2019, arXiv:1910.07467, equation 4.
    """
    x_norm = x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps)
    return x_norm if weight is None else x_norm * weight


def make_norm(
    kind: NormKind, n_features: int, *, momentum: float = 0.1, eps: float = 1e-5
) -> nn.Module:
    """Return torch's own module for a kind of normalization; all tools recognize these modules.

    A training batch of one row has no variance, so torch's BatchNorm1d raises a ValueError.
    `afina.Trainer` avoids this: it merges a last batch of one row into the one before it.

    Args:
        momentum: weight of the newest batch in batch normalization's running statistics, in (0, 1].
        eps: added to the variance (or the mean square) before the square root.

    Raises:
        ValueError: the kind is unknown, or momentum or eps is out of range.

    Example:
        >>> make_norm("rms", 8)
        RMSNorm((8,), eps=1e-05, elementwise_affine=True)
    """
    if not 0.0 < momentum <= 1.0:
        raise ValueError(f"momentum must be in (0, 1]; got {momentum=}. 0.1 is usual.")
    if not eps > 0.0:
        raise ValueError(f"eps must be positive; got {eps=}. 1e-5 is usual.")
    match kind:
        case "batch":
            return nn.BatchNorm1d(n_features, eps=eps, momentum=momentum)
        case "layer":
            return nn.LayerNorm(n_features, eps=eps)
        case "rms":
            return nn.RMSNorm(n_features, eps=eps)
        case _:
            raise ValueError(
                f"norm must be one of {', '.join(get_args(NormKind))}; got norm={kind!r}."
            )
