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
    """Number of hidden blocks; 0 gives a linear model."""

    d_block: Count = 64
    """Units of each hidden block."""

    residual: bool = False
    """Add each block's input to its output."""

    activation: ActivationName = "relu"
    """Activation of the hidden blocks."""

    norm: NormKind | None = None
    """Normalization in each hidden block."""

    norm_place: NormPlace = "post"
    """Position of the normalization. `pre`: before the linear layer; `post`: between the linear
    layer and the activation; `after`: after the activation."""

    norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the newest batch in batch normalization's running statistics, in (0, 1]."""

    norm_eps: Positive = 1e-5
    """Added to the variance before the square root."""

    dropout: Rate | Literal["auto"] = "auto"
    """Probability that a hidden unit is zeroed while training, in [0, 1). `auto`: 0.1 for classes,
    and 0 for regression, whose squared error suffers from the noise."""

    parametric_activation: bool = False
    """Let each hidden unit learn how much of the activation it applies."""

    numeric_embedding: NumericEmbedding | None = "piecewise"
    """Embedding of each number before the first block: a trained piecewise-linear curve between
    quantiles, or trained waves. Columns with one or two values are not embedded. None: no columns
    are embedded."""

    n_bins: Count | Literal["auto"] = "auto"
    """Largest number of bins of a number's piecewise-linear curve. `auto`: one for each 64 training
    rows, at least 2 and at most 128 (if most rows are of one class, one for each 16 rows of the
    others). If that is 64 or more, a column with up to twice as many distinct values has an edge at
    each of them, which keeps codes apart; if identical rows are repeated observations, with a
    mean of eight or more for each combination, so has a column of up to 256 distinct values."""

    d_numeric: Annotated[int, Field(ge=2)] | Literal["auto"] = "auto"
    """Width of a number's embedding. `auto`: 8, or 4 if more than 24 numbers are embedded."""

    n_frequencies: Count = 16
    """Number of waves of a number's periodic embedding."""

    frequency_sigma: Annotated[Positive, Setting(experimental=True)] = 0.1
    """Standard deviation of the waves' initial frequencies."""

    feature_scale: bool = False
    """Give each feature a trained factor before the first block."""

    members: Count = 6
    """Number of networks in one model; their predictions are averaged."""

    members_differ: MembersDiffer = "weights"
    """Where members differ, besides their outputs. `weights`: in all weights after the input layer
    (an ensemble); `input`: scales of the features; `linear`: scales and biases after a shared first
    linear layer (several times faster with many features); `block`: scales after a shared first
    block; `layers`: scales and biases in every layer."""

    linear_skip: bool = True
    """With `members_differ = "weights"`: add a linear model of the inputs to each member."""

    member_start: Annotated[MemberStart | Literal["auto"], Setting(experimental=True)] = "auto"
    """Distribution of the members' initial scales. `auto`: normal if they scale embedded numbers,
    otherwise signs."""

    init: Annotated[InitName, Setting(keeps_auto=True)] = "torch"
    """Initialization of weights. `auto` fits each layer to the activation that follows it, which
    deep networks need; for shallow networks on tables, torch's smaller weights work better."""

    init_constant: float = 0.01
    """The value of `init = "constant"`."""
