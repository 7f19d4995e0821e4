"""Settings of the network."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from afina.declaration import Count, CountFromZero, Positive, Rate, Setting, settings_class
from afina.nn.choices import ActivationName, InitName, MemberStart, NormKind, NormPlace

NumericEmbedding: TypeAlias = Literal["piecewise", "periodic"]
MembersDiffer: TypeAlias = Literal["input", "linear", "block", "layers", "weights"]


@settings_class
class ModelSettings:
    """The network."""

    n_blocks: CountFromZero = 2
    """Hidden blocks; 0 is a linear model."""

    d_block: Count = 64
    """Units of each hidden block."""

    residual: bool = False
    """Add each block's input to its output."""

    activation: ActivationName = "relu"
    """Activation of the hidden blocks."""

    norm: NormKind | None = None
    """Normalization in each hidden block."""

    norm_place: NormPlace = "post"
    """Where the normalization stands. `pre`: before the linear layer; `post`: between the linear
    layer and the activation; `after`: after the activation."""

    norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the newest batch in batch normalization's running statistics, in (0, 1]."""

    norm_eps: Positive = 1e-5
    """Added to the variance before the square root."""

    dropout: Rate | Literal["auto"] = "auto"
    """Chance that a hidden unit is zeroed while training, in [0, 1). `auto`: 0.1 for classes, and
    0 for numbers, whose squared error suffers from the noise in the sums."""

    parametric_activation: bool = False
    """Let each hidden unit learn how much of the activation it takes."""

    numeric_embedding: NumericEmbedding | None = "piecewise"
    """What each number becomes before the first block: a trained piecewise-linear curve between
    quantiles, or trained waves. Columns of one or two values stay as they are. None: all do."""

    n_bins: Count | Literal["auto"] = "auto"
    """Most bins of a number's piecewise-linear curve. `auto`: one for each 64 training rows, at
    least 2 and at most 128 (where most rows are of one class, one for each 16 rows of the others).
    Where that is 64 or more, a column of up to twice as many distinct values has an edge at each
    of them, so that numbers that are codes are kept apart."""

    d_numeric: Annotated[int, Field(ge=2)] | Literal["auto"] = "auto"
    """Width of a number's embedding. `auto`: 8, or 4 where more than 24 numbers have one."""

    n_frequencies: Count = 16
    """Waves of a number's periodic embedding."""

    frequency_sigma: Annotated[Positive, Setting(experimental=True)] = 0.1
    """Standard deviation of the waves' frequencies at the start."""

    feature_scale: bool = False
    """Give each feature a trained factor before the first block."""

    members: Count = 6
    """Networks in one, whose predictions are averaged."""

    members_differ: MembersDiffer = "weights"
    """Where members differ, besides their outputs. `weights`: in all weights behind the input
    layer, which is an ensemble; `input`: scales of the features; `linear`: scales and biases behind
    a shared first linear layer (several times faster with many features); `block`: scales behind a
    shared first block; `layers`: scales and biases in every layer."""

    linear_skip: bool = True
    """With `members_differ = "weights"`: add a linear model of the inputs to each member."""

    member_start: Annotated[MemberStart | Literal["auto"], Setting(experimental=True)] = "auto"
    """What members' scales are drawn from. `auto`: normal where they scale embedded numbers, else
    signs."""

    init: Annotated[InitName, Setting(keeps_auto=True)] = "torch"
    """Initialization of weights. `auto` fits each layer to the activation that follows it, which
    deep networks need; in shallow ones on tables, torch's smaller weights do better."""

    init_constant: float = 0.01
    """The value of `init = "constant"`."""
