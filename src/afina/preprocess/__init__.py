"""Fitted modules before the network: what they learn from training rows is in their buffers."""

from afina.preprocess.bins import column_edges
from afina.preprocess.compose import Preprocess
from afina.preprocess.dates import DateParts
from afina.preprocess.impute import Impute
from afina.preprocess.quantile import QuantileNormal
from afina.preprocess.scale import Identity, MinMax, Robust, Standardize, smooth_clip
from afina.preprocess.target import MOST_KNOTS, Log, Quantile, TargetKind, fit_target

__all__ = [
    "MOST_KNOTS",
    "DateParts",
    "Identity",
    "Impute",
    "Log",
    "MinMax",
    "Preprocess",
    "Quantile",
    "QuantileNormal",
    "Robust",
    "Standardize",
    "TargetKind",
    "column_edges",
    "fit_target",
    "smooth_clip",
]
