"""afina trains neural networks well: from a raw table to a model, and for any nn.Module."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afina.tabular import AfinaClassifier, AfinaRegressor, load
    from afina.train import Trainer

__version__ = "0.1.0"

__all__ = ["AfinaClassifier", "AfinaRegressor", "Trainer", "__version__", "load"]

_HOME = {
    "AfinaClassifier": "afina.tabular",
    "AfinaRegressor": "afina.tabular",
    "Trainer": "afina.train",
    "load": "afina.tabular",
}


def __dir__() -> list[str]:
    """List the public names, including those not imported yet."""
    return __all__


if not TYPE_CHECKING:  # otherwise a type checker would accept any name, even a misspelled one

    def __getattr__(name: str) -> Any:
        """Import a public name on first use, so that `import afina` does not wait for torch."""
        if name not in _HOME:
            raise AttributeError(f"module 'afina' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOME[name]), name)
