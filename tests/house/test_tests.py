"""The tests say what they prove, and mirror the code that they test."""

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src" / "afina"
# These test the whole, and mirror no package.
WHOLE = {"clients", "docs", "end_to_end", "house", "typing"}


def test_docstrings() -> None:
    """Every test has a docstring: the sentence that it proves."""
    silent = [
        f"{path.relative_to(TESTS)}: {node.name}"
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


def test_folders_mirror_the_packages() -> None:
    """Every folder of tests mirrors a package, and every package has tests."""
    ours = {path.name for path in TESTS.iterdir() if any(path.glob("test_*.py"))}
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}

    assert packages == ours - WHOLE
