"""Layers and initialization. Knows torch only: no table, no loop, no model of afina's."""

from afina.nn.activation import (
    ActivationName,
    ParametricActivation,
    activation_gain,
    make_activation,
)
from afina.nn.block import Block, NormPlace, needs_bias
from afina.nn.dropout import QuickDropout, dropout, quick_dropout
from afina.nn.embed import CategoryEmbedding, OneHot, Ordinal, embedding_width, hide_codes
from afina.nn.init_schemes import FanMode, Scheme, fans, init_weight_, weight_std
from afina.nn.initialize import InitName, InitRecord, initialize_
from afina.nn.members import (
    MemberHeads,
    MemberLinear,
    MemberScale,
    MemberStart,
    mean_of_members,
)
from afina.nn.norm import NORMS, NormKind, batch_norm, layer_norm, make_norm, rms_norm
from afina.nn.periodic import Periodic
from afina.nn.piecewise import PiecewiseLinear, piecewise_linear
from afina.nn.scaling import FeatureScale
from afina.nn.stacked import ALL, StackedLinear

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
