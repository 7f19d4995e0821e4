"""Files and functions stay small."""

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import SourceFile

MOST_LINES_FILE = 400
MOST_LINES_FUNCTION = 60
# A function of more than 40 lines is worth a second look; this many passed it. Lower it at will.
LONG_FUNCTIONS = 4


def function_lengths(tree: ast.Module) -> dict[str, int]:
    """Return the lines of each function, without its docstring and its signature."""
    lengths = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body and node.end_lineno is not None:
                lengths[node.name] = node.end_lineno - body[0].lineno + 1
    return lengths


def test_files(source_files: "list[SourceFile]") -> None:
    """No file is longer than 400 lines."""
    lengths = {file.name: file.text.count("\n") for file in source_files}

    assert {} == {name: n for name, n in lengths.items() if n > MOST_LINES_FILE}


def test_functions(source_files: "list[SourceFile]") -> None:
    """No function is longer than 60 lines, and few are longer than 40."""
    lengths = {
        f"{file.name}: {name}": n
        for file in source_files
        for name, n in function_lengths(file.tree).items()
    }
    long = {name: n for name, n in lengths.items() if n > 40}

    assert {} == {name: n for name, n in long.items() if n > MOST_LINES_FUNCTION}
    assert len(long) <= LONG_FUNCTIONS, long


def test_a_long_function_is_seen() -> None:
    """A function of 70 lines is counted as one."""
    text = 'def f():\n    """Do."""\n' + "    x = 1\n" * 70

    assert function_lengths(ast.parse(text)) == {"f": 70}
