"""The examples in docstrings return what they show."""

import doctest
import importlib
import pkgutil

import pytest

import afina

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(afina.__path__, "afina.")
    if not info.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str) -> None:
    """Every example of the module is right."""
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)

    assert results.failed == 0
