"""Fitted modules that run before the network and keep what they learn in buffers."""

from typing import TYPE_CHECKING

from afina.lazy import import_on_use

if TYPE_CHECKING:
    from afina.preprocess.bins import column_edges
    from afina.preprocess.compose import Preprocess
    from afina.preprocess.dates import DateParts
    from afina.preprocess.impute import Impute
    from afina.preprocess.quantile import MOST_QUANTILES, QuantileNormal
    from afina.preprocess.scale import Identity, MinMax, Robust, Standardize, smooth_clip
    from afina.preprocess.settings import (
        Encoding,
        PreprocessSettings,
        Scaling,
        Strategy,
        TargetKind,
    )
    from afina.preprocess.target import MOST_KNOTS, Log, Quantile, fit_target
else:
    __getattr__ = import_on_use(
        __name__,
        bins=["column_edges"],
        compose=["Preprocess"],
        dates=["DateParts"],
        impute=["Impute"],
        quantile=["MOST_QUANTILES", "QuantileNormal"],
        scale=["Identity", "MinMax", "Robust", "Standardize", "smooth_clip"],
        settings=["Encoding", "PreprocessSettings", "Scaling", "Strategy", "TargetKind"],
        target=["MOST_KNOTS", "Log", "Quantile", "fit_target"],
    )

__all__ = [
    "MOST_KNOTS",
    "MOST_QUANTILES",
    "DateParts",
    "Encoding",
    "Identity",
    "Impute",
    "Log",
    "MinMax",
    "Preprocess",
    "PreprocessSettings",
    "Quantile",
    "QuantileNormal",
    "Robust",
    "Scaling",
    "Standardize",
    "Strategy",
    "TargetKind",
    "column_edges",
    "fit_target",
    "smooth_clip",
]
