"""Networks for tables."""

from afina.models.ensemble import Ensemble
from afina.models.input import CatEncoding, EncodingName, InputLayer, RawBatchNorm
from afina.models.members import MemberPlan, Members, MembersDiffer, make_members
from afina.models.mlp import MLP
from afina.models.network import TabularNet, make_network
from afina.models.numbers import EmbeddedNumbers, Numbers, NumericEmbedding

__all__ = [
    "MLP",
    "CatEncoding",
    "EmbeddedNumbers",
    "EncodingName",
    "Ensemble",
    "InputLayer",
    "MemberPlan",
    "Members",
    "MembersDiffer",
    "Numbers",
    "NumericEmbedding",
    "RawBatchNorm",
    "TabularNet",
    "make_members",
    "make_network",
]
