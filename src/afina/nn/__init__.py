"""Layers and initialization. Knows torch only: no table, no loop, no model of afina's."""

from afina.nn.activation import ActivationName, activation_gain, make_activation
from afina.nn.block import Block, NormPlace
from afina.nn.dropout import dropout
from afina.nn.embed import CategoryEmbedding, OneHot, Ordinal, hide_codes
from afina.nn.init import FanMode, Scheme, fans, init_weight_, weight_std
from afina.nn.initialize import InitName, InitRecord, init_table, initialize_
from afina.nn.norm import NORMS, NormKind, batch_norm, layer_norm, make_norm, rms_norm

__all__ = [
    "NORMS",
    "ActivationName",
    "Block",
    "CategoryEmbedding",
    "FanMode",
    "InitName",
    "InitRecord",
    "NormKind",
    "NormPlace",
    "OneHot",
    "Ordinal",
    "Scheme",
    "activation_gain",
    "batch_norm",
    "dropout",
    "fans",
    "hide_codes",
    "init_table",
    "init_weight_",
    "initialize_",
    "layer_norm",
    "make_activation",
    "make_norm",
    "rms_norm",
    "weight_std",
]
