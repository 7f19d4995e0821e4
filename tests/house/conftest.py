"""The package's source files, as text and as syntax trees."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "afina"


@dataclass(frozen=True)
class SourceFile:
    """One Python file of the package."""

    name: str
    text: str
    tree: ast.Module


@pytest.fixture(scope="session")
def source_files() -> list[SourceFile]:
    """Read every Python file below src/afina."""
    return [
        SourceFile(path.relative_to(PACKAGE).as_posix(), text, ast.parse(text))
        for path in sorted(PACKAGE.rglob("*.py"))
        for text in [path.read_text(encoding="utf-8")]
    ]
