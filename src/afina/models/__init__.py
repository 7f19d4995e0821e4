"""Networks for tables."""

from typing import TYPE_CHECKING

from afina.lazy import import_on_use

if TYPE_CHECKING:
    from afina.models.ensemble import Ensemble
    from afina.models.input import CatEncoding, InputLayer, RawBatchNorm
    from afina.models.members import Members, make_members
    from afina.models.mlp import MLP
    from afina.models.network import TabularNet, make_network
    from afina.models.numbers import EmbeddedNumbers, Numbers
    from afina.models.settings import MembersDiffer, ModelSettings, NumericEmbedding
    from afina.models.shape import NetworkShape
else:
    __getattr__ = import_on_use(
        __name__,
        ensemble=["Ensemble"],
        input=["CatEncoding", "InputLayer", "RawBatchNorm"],
        members=["Members", "make_members"],
        mlp=["MLP"],
        network=["TabularNet", "make_network"],
        numbers=["EmbeddedNumbers", "Numbers"],
        settings=["MembersDiffer", "ModelSettings", "NumericEmbedding"],
        shape=["NetworkShape"],
    )

__all__ = [
    "MLP",
    "CatEncoding",
    "EmbeddedNumbers",
    "Ensemble",
    "InputLayer",
    "Members",
    "MembersDiffer",
    "ModelSettings",
    "NetworkShape",
    "Numbers",
    "NumericEmbedding",
    "RawBatchNorm",
    "TabularNet",
    "make_members",
    "make_network",
]
