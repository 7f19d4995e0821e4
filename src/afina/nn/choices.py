"""The names of layers and initializations; each list of choices is defined only here."""

from typing import Literal, TypeAlias

ActivationName: TypeAlias = Literal["relu", "gelu", "silu", "selu", "tanh", "sigmoid", "mish"]
NormKind: TypeAlias = Literal["batch", "layer", "rms"]
NormPlace: TypeAlias = Literal["pre", "post", "after"]
MemberStart: TypeAlias = Literal["normal", "signs"]
FanMode: TypeAlias = Literal["fan_in", "fan_out"]
Scheme: TypeAlias = Literal[
    "zeros",
    "ones",
    "constant",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "lecun_normal",
    "torch",
]
InitName: TypeAlias = Scheme | Literal["auto"]
