"""The parts of a model's shape that the data determines, recorded next to its settings."""

from typing import Annotated

from pydantic import Field

from afina.declaration import settings_class
from afina.models.shape import NetworkShape
from afina.preprocess import MOST_KNOTS, MOST_QUANTILES

_Columns = Annotated[int, Field(ge=0, le=1_000_000)]


@settings_class
class ModelShape(NetworkShape):
    """What the data determines about preprocessing, network and target scale."""

    num_names: tuple[str, ...] = ()
    """Names of the numeric columns."""

    time_names: tuple[str, ...] = ()
    """Names of the columns of dates."""

    n_indicators: _Columns = 0
    """Columns that indicate missing numbers."""

    n_timed: _Columns = 0
    """Parts of dates that vary in the training rows."""

    n_quantiles: Annotated[int, Field(ge=0, le=MOST_QUANTILES)] = 0
    """Number of knots of the `quantile` scaling."""

    n_target_knots: Annotated[int, Field(ge=0, le=MOST_KNOTS)] = 0
    """Number of knots of the `quantile` target transform."""
