"""Fitted modules before the network: what they learn from training rows is in their buffers."""

from afina.preprocess.compose import Preprocess
from afina.preprocess.dates import DateParts
from afina.preprocess.impute import Impute
from afina.preprocess.quantile import QuantileNormal
from afina.preprocess.scale import Identity, MinMax, Robust, Standardize, smooth_clip

__all__ = [
    "DateParts",
    "Identity",
    "Impute",
    "MinMax",
    "Preprocess",
    "QuantileNormal",
    "Robust",
    "Standardize",
    "smooth_clip",
]
