"""The sizes of a network that depend on the data."""

from typing import Annotated

from pydantic import Field

from afina.declaration import settings_class
from afina.preprocess.settings import Encoding

Width = Annotated[int, Field(ge=0, le=10_000_000)]
Size = Annotated[int, Field(ge=1, le=10_000_000)]


@settings_class
class NetworkShape:
    """The sizes of a network that depend on the data, except the numbers of levels."""

    n_num: Width
    """Number of numeric columns that preprocessing returns. If it is 0 and there are no categories,
    the network is only an intercept."""

    encodings: tuple[Encoding, ...] = ()
    """The encoding of each categorical column."""

    has_missing: tuple[bool, ...] = ()
    """Whether each categorical column had missing cells in the training rows."""

    embedded: tuple[Width, ...] = ()
    """Indices of the embedded numbers, ascending."""

    n_bins: tuple[Size, ...] = ()
    """Number of bins of each embedded number, for piecewise-linear embeddings."""

    d_out: Size = 1
    """Number of classes, or 1 for regression."""

    folds: Size = 1
    """Number of folds of the training rows. 1: no folds."""
