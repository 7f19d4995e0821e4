"""A trained factor for each feature."""

import torch
from torch import Tensor, nn

from afina.nn.arguments import check_sizes


class FeatureScale(nn.Module):
    """Multiply each feature by a trained factor, so that the network can select features.

    The gradient of a factor sums over all weights that use the feature. If the factors' learning
    rate is several times that of the weights, features that do not help fade out early.

    Shape:
        (n, n_features) -> (n, n_features)

    Args:
        n_features: at least 1.

    Example:
        >>> FeatureScale(2)(torch.tensor([[3.0, 4.0]])).tolist()
        [[3.0, 4.0]]

    Source: Holzmueller, Grinsztajn & Steinwart 2024, arXiv:2407.04491, section 3.
    """

    def __init__(self, n_features: int) -> None:
        check_sizes(n_features=n_features)
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_features))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale

    def extra_repr(self) -> str:
        return f"n_features={len(self.scale)}"
