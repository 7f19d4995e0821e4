"""Settings of preprocessing."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from afina.declaration import Count, Rate, Setting, settings_class

Scaling: TypeAlias = Literal["minmax", "standard", "robust", "quantile", "batchnorm"]
Encoding: TypeAlias = Literal["onehot", "ordinal", "embedding"]
Strategy: TypeAlias = Literal["median", "mean", "zero"]
TargetKind: TypeAlias = Literal["log", "quantile"]


@settings_class
class PreprocessSettings:
    """Settings for turning columns into numbers from which a network learns well."""

    scaling: Scaling | None = "robust"
    """Scaling of numeric columns; `batchnorm`: a normalization layer in the network is the only
    scaler. None: numbers are not scaled."""

    categories: Encoding | Literal["auto"] = "auto"
    """Encoding of categorical columns. `auto`: one-hot up to `onehot_max` levels, an embedding
    above."""

    encodings: dict[str, Encoding] = Field(default_factory=dict)
    """Encoding by column name; overrides `categories`."""

    onehot_max: Count = 64
    """Largest number of levels that `auto` encodes one-hot."""

    embedding_dim: Annotated[Count | Literal["auto"], Setting(keeps_auto=True)] = 8
    """Width of the embedding of a categorical column. `auto`: from 4 to 32, depending on the number
    of levels. With `members_differ = "weights"` each member has its own embeddings."""

    min_count: Count = 2
    """A level must occur in at least this number of training rows (by weight); rarer levels count
    as unknown."""

    unknown_rate: Rate = 0.02
    """Probability that a level is replaced by "unknown" while training, so that the network learns
    to handle unknown levels."""

    impute: Strategy = "median"
    """The value that replaces a missing number; an indicator column marks it as missing."""

    target_transform: TargetKind | Literal["auto"] | None = None
    """Transform of a regression target before training: logarithms, or a map to a normal
    distribution. `auto`: logarithms if the target is skewed. Scores stay in the target's own
    units."""

    clip_predictions: bool = False
    """Keep predicted numbers within the range of the training targets."""
