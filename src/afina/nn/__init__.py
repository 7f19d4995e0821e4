"""Layers and initialization, which need only torch: no tables, no loop, no models of afina."""

from typing import TYPE_CHECKING

from afina.lazy import import_on_use

if TYPE_CHECKING:
    from afina.nn.activation import (
        ParametricActivation,
        activation_gain,
        make_activation,
    )
    from afina.nn.block import Block, needs_bias
    from afina.nn.choices import (
        ActivationName,
        FanMode,
        InitName,
        MemberStart,
        NormKind,
        NormPlace,
        Scheme,
    )
    from afina.nn.drop import QuickDropout, dropout, quick_dropout
    from afina.nn.embed import CategoryEmbedding, OneHot, Ordinal, embedding_width, hide_codes
    from afina.nn.init_schemes import fans, init_weight_, weight_std
    from afina.nn.initialize import InitRecord, initialize_
    from afina.nn.members import (
        MemberHeads,
        MemberLinear,
        MemberScale,
        mean_of_members,
    )
    from afina.nn.norm import NORMS, batch_norm, layer_norm, make_norm, rms_norm
    from afina.nn.periodic import Periodic
    from afina.nn.piecewise import PiecewiseLinear, piecewise_linear
    from afina.nn.scaling import FeatureScale
    from afina.nn.stacked import ALL, StackedLinear
else:
    __getattr__ = import_on_use(
        __name__,
        activation=["ParametricActivation", "activation_gain", "make_activation"],
        block=["Block", "needs_bias"],
        drop=["QuickDropout", "dropout", "quick_dropout"],
        embed=["CategoryEmbedding", "OneHot", "Ordinal", "embedding_width", "hide_codes"],
        init_schemes=["fans", "init_weight_", "weight_std"],
        initialize=["InitRecord", "initialize_"],
        members=["MemberHeads", "MemberLinear", "MemberScale", "mean_of_members"],
        choices=[
            "ActivationName",
            "FanMode",
            "InitName",
            "MemberStart",
            "NormKind",
            "NormPlace",
            "Scheme",
        ],
        norm=["NORMS", "batch_norm", "layer_norm", "make_norm", "rms_norm"],
        periodic=["Periodic"],
        piecewise=["PiecewiseLinear", "piecewise_linear"],
        scaling=["FeatureScale"],
        stacked=["ALL", "StackedLinear"],
    )

__all__ = [
    "ALL",
    "NORMS",
    "ActivationName",
    "Block",
    "CategoryEmbedding",
    "FanMode",
    "FeatureScale",
    "InitName",
    "InitRecord",
    "MemberHeads",
    "MemberLinear",
    "MemberScale",
    "MemberStart",
    "NormKind",
    "NormPlace",
    "OneHot",
    "Ordinal",
    "ParametricActivation",
    "Periodic",
    "PiecewiseLinear",
    "QuickDropout",
    "Scheme",
    "StackedLinear",
    "activation_gain",
    "batch_norm",
    "dropout",
    "embedding_width",
    "fans",
    "hide_codes",
    "init_weight_",
    "initialize_",
    "layer_norm",
    "make_activation",
    "make_norm",
    "mean_of_members",
    "needs_bias",
    "piecewise_linear",
    "quick_dropout",
    "rms_norm",
    "weight_std",
]
