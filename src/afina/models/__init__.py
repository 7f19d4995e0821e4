"""Networks for tables."""

from afina.models.input import CatEncoding, EncodingName, InputLayer, RawBatchNorm
from afina.models.mlp import MLP
from afina.models.network import TabularNet, make_network

__all__ = [
    "MLP",
    "CatEncoding",
    "EncodingName",
    "InputLayer",
    "RawBatchNorm",
    "TabularNet",
    "make_network",
]
