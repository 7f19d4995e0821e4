"""What the data determines about a network."""

from typing import Annotated

from pydantic import Field

from afina.declaration import settings_class
from afina.preprocess.settings import Encoding

Width = Annotated[int, Field(ge=0, le=10_000_000)]
Size = Annotated[int, Field(ge=1, le=10_000_000)]


@settings_class
class NetworkShape:
    """What the data determines about a network, apart from the levels of each category."""

    n_num: Width
    """Columns of numbers that preprocessing returns. 0, without categories: only an intercept."""

    encodings: tuple[Encoding, ...] = ()
    """How each categorical column is encoded."""

    has_missing: tuple[bool, ...] = ()
    """Whether each categorical column had missing cells among the training rows."""

    embedded: tuple[Width, ...] = ()
    """Places of the numbers that are embedded, ascending."""

    n_bins: tuple[Size, ...] = ()
    """Bins of each embedded number, for piecewise-linear embeddings."""

    d_out: Size = 1
    """Classes, or 1 for regression."""

    folds: Size = 1
    """Folds that the training rows are in; 1: none."""
