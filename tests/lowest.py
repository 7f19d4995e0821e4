"""Write the lowest versions that pyproject.toml allows, as a constraint file for pip.

    python tests/lowest.py >lowest.txt
    python -m venv lowest && lowest/bin/pip install --constraint lowest.txt '.[test]'
    lowest/bin/python -m pytest -q

A lower bound that nobody installs is a guess. This makes it a fact: `numpy>=2.0` becomes
`numpy==2.0`, and the tests run on it. Requirements without a lower bound are left to pip.
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
LOWER_BOUND = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*>=\s*(?P<version>[0-9.]+)")


def lowest_versions(project: str, extras: tuple[str, ...] = ("test",)) -> list[str]:
    r"""Return one pip constraint for each requirement with a lower bound, in order.

    Args:
        project: the text of a pyproject.toml.
        extras: optional dependencies to include.

    Example:
        >>> lowest_versions('[project]\ndependencies = ["numpy>=2.0,<3", "torch"]')
        ['numpy==2.0']
    """
    metadata = tomllib.loads(project)["project"]
    requirements = [*metadata["dependencies"]]
    for extra in extras:
        requirements += metadata.get("optional-dependencies", {}).get(extra, [])
    bounds = [LOWER_BOUND.match(requirement) for requirement in requirements]
    return [f"{bound['name']}=={bound['version']}" for bound in bounds if bound is not None]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in lowest_versions(PROJECT.read_text("utf-8"))))
