"""afina trains neural networks well: from a raw table to a model, and for any nn.Module."""

from typing import TYPE_CHECKING

from afina.lazy import import_on_use

if TYPE_CHECKING:
    from afina.tabular import AfinaClassifier, AfinaRegressor, load
    from afina.train import Stop, Trainer, load_weights
else:  # imported on first use, so that `import afina` does not wait for torch
    __getattr__ = import_on_use(
        __name__,
        tabular=["AfinaClassifier", "AfinaRegressor", "load"],
        train=["Stop", "Trainer", "load_weights"],
    )

__version__ = "0.1.0"

__all__ = [
    "AfinaClassifier",
    "AfinaRegressor",
    "Stop",
    "Trainer",
    "__version__",
    "load",
    "load_weights",
]


def __dir__() -> list[str]:
    """List the public names, including those not imported yet."""
    return __all__
