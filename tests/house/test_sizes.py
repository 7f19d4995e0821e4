"""Files and functions stay small."""

import ast
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import SourceFile

MOST_LINES_FILE = 400
MOST_LINES_FUNCTION = 60
# A function of more than 40 lines deserves a second look; this many have passed it. Only lower it.
LONG_FUNCTIONS = 16
# Longer than 60 lines, each with the reason. Only shorten the list.
LONG = {}
GENERATED = re.compile(r"^[ \t]*# \[\[\[cog.*?^[ \t]*# \[\[\[end\]\]\]", re.MULTILINE | re.DOTALL)


def generated_lines(text: str) -> set[int]:
    """Return the numbers of the lines that cog writes, markers included."""
    lines: set[int] = set()
    for block in GENERATED.finditer(text):
        first = text.count("\n", 0, block.start()) + 1
        lines |= set(range(first, first + block[0].count("\n") + 1))
    return lines


def function_lengths(text: str) -> dict[str, int]:
    """Return the lines of each function by qualified name, such as `Trainer.fit`.

    The signature counts. The docstring and what cog generates do not.
    """
    generated = generated_lines(text)
    lengths: dict[str, int] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                visit(child, prefix)
                continue
            name = f"{prefix}{child.name}"
            if not isinstance(child, ast.ClassDef):
                lines = set(range(child.lineno, (child.end_lineno or child.lineno) + 1)) - generated
                if ast.get_docstring(child):
                    docstring = child.body[0]
                    lines -= set(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
                # A property and its setter share a name: the longer one counts.
                lengths[name] = max(len(lines), lengths.get(name, 0))
            visit(child, f"{name}.")

    visit(ast.parse(text), "")
    return lengths


@pytest.fixture(scope="module")
def long_functions(source_files: "list[SourceFile]") -> dict[str, int]:
    """Return every function of the package that is longer than 40 lines."""
    return {
        f"{file.name}: {name}": n
        for file in source_files
        for name, n in function_lengths(file.text).items()
        if n > 40
    }


def test_files(source_files: "list[SourceFile]") -> None:
    """No file is longer than 400 lines."""
    lengths = {file.name: file.text.count("\n") for file in source_files}

    assert {} == {name: n for name, n in lengths.items() if n > MOST_LINES_FILE}


def test_functions(long_functions: dict[str, int]) -> None:
    """No function is longer than 60 lines, and few are longer than 40."""
    too_long = {name: n for name, n in long_functions.items() if n > MOST_LINES_FUNCTION}

    assert {} == {name: n for name, n in too_long.items() if name not in LONG}
    assert len(long_functions) <= LONG_FUNCTIONS, long_functions


def test_the_list_of_exceptions_shrinks(long_functions: dict[str, int]) -> None:
    """A function that has become short, or is gone, is struck from LONG."""
    assert set() == {name for name in LONG if long_functions.get(name, 0) <= MOST_LINES_FUNCTION}


def test_a_long_function_is_seen() -> None:
    """A body of 70 lines and its signature are 71 lines."""
    text = 'def f():\n    """Do."""\n' + "    x = 1\n" * 70

    assert function_lengths(text) == {"f": 71}


def test_a_long_signature_is_seen() -> None:
    """Each parameter on a line of its own counts."""
    text = "def f(\n" + "".join(f"    x{i}: int,\n" for i in range(70)) + ") -> None:\n    pass\n"

    assert function_lengths(text) == {"f": 73}


def test_a_namesake_hides_nothing() -> None:
    """Methods of the same name in two classes are counted apart."""
    long = "class A:\n    def fit(self):\n" + "        x = 1\n" * 70
    short = "class B:\n    def fit(self):\n        pass\n"

    assert function_lengths(long + short) == {"A.fit": 71, "B.fit": 2}


def test_generated_lines_are_not_counted() -> None:
    """What cog writes into a signature is no work of a reader."""
    parameters = "".join(f"    x{i}: int,\n" for i in range(70))
    text = f"def f(\n    # [[[cog\n    # ]]]\n{parameters}    # [[[end]]]\n):\n    pass\n"

    assert function_lengths(text) == {"f": 3}
