"""Nothing in the package runs code from a file, and nothing but the command line prints."""

import ast
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import SourceFile

DISPLAY = "tabular/estimators/display.py"
PICKLING = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
UNSAFE_CALLS = {
    "eval",
    "exec",
    "np.load",
    "np.save",
    "numpy.load",
    "numpy.save",
    "pd.read_pickle",
    "torch.jit.load",
    "torch.load",
    "torch.save",
}


def unsafe(tree: ast.Module) -> list[str]:
    """Find imports of pickling modules, and calls that pickle, unpickle or run text."""
    uses = []
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                names += [node.module or ""]
            case ast.Attribute() | ast.Name():
                names = [ast.unparse(node)]
            case ast.keyword(arg="allow_pickle" | "weights_only"):
                names = [f"{node.arg}="]
            case _:
                continue
        for name in names:
            top = name.split(".")[0]
            pickles = isinstance(node, ast.Import | ast.ImportFrom) and top in PICKLING
            if pickles or name in UNSAFE_CALLS or name.endswith("="):
                uses.append(name)
    return uses


def prints(tree: ast.Module) -> list[str]:
    """Find prints, and uses of the standard streams."""
    return [
        text
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
        and (text := ast.unparse(node)) in {"print", "sys.stdout", "sys.stderr"}
    ]


def test_nothing_is_pickled(source_files: "list[SourceFile]") -> None:
    """No file imports a pickling module, or calls one through torch, numpy or pandas."""
    assert {} == {file.name: uses for file in source_files if (uses := unsafe(file.tree))}


def test_the_library_does_not_print(source_files: "list[SourceFile]") -> None:
    """Only the command line, and the progress that a user watches, write to stdout and stderr."""
    library = [file for file in source_files if not file.name.startswith(("cli/", DISPLAY))]

    assert {} == {file.name: uses for file in library if (uses := prints(file.tree))}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "eval('1')",
    ],
)
def test_an_unsafe_line_is_seen(text: str) -> None:
    """Each usual way to run code from a file is found."""
    assert unsafe(ast.parse(text))


@pytest.mark.parametrize("text", ["print(1)", "import sys\nsys.stderr.write('')"])
def test_a_print_is_seen(text: str) -> None:
    """A print is found."""
    assert prints(ast.parse(text))
