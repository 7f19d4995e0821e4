"""Packages that import their names on first use.

Settings are declared next to the code that uses them, and reading settings must not wait for torch.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

_NONE: Mapping[str, str] = MappingProxyType({})


def import_on_use(
    package: str, elsewhere: Mapping[str, str] = _NONE, **modules: Iterable[str]
) -> Callable[[str], Any]:
    """Return a package's `__getattr__`, which imports each name from its module on first use.

    Args:
        package: dotted name of the package.
        elsewhere: module of each public name that comes from another package.
        modules: the public names of each module, by the module's name; `a__b` stands for `a.b`.
    """
    home = {
        name: f"{package}.{module.replace('__', '.')}"
        for module, names in modules.items()
        for name in names
    } | dict(elsewhere)

    def get(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home[name]), name)

    return get
