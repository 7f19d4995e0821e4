"""The `__all__` of a package lists exactly its public names."""

import ast
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import SourceFile


def imported_names(tree: ast.Module) -> set[str]:
    """Return the public names that a package's `__init__` imports or defines."""
    names: set[str] = set()
    lazy = [part for node in tree.body if isinstance(node, ast.If) for part in node.body]
    for node in [*tree.body, *lazy]:  # names under TYPE_CHECKING are imported on first use
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if module.startswith("afina.") and module != "afina.lazy":
            names |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def test_all_is_what_is_public(source_files: "list[SourceFile]") -> None:
    """Each package's `__all__` holds its public names, each once; ruff keeps it sorted."""
    for file in source_files:
        folder, _, name = file.name.rpartition("/")
        if name != "__init__.py" or not folder:
            continue
        package = importlib.import_module(f"afina.{folder.replace('/', '.')}")

        assert package.__doc__, file.name
        assert sorted(imported_names(file.tree)) == sorted(package.__all__), file.name


def test_every_name_can_be_imported(source_files: "list[SourceFile]") -> None:
    """Every name of a package that imports on first use is found in its module."""
    for file in source_files:
        folder, _, name = file.name.rpartition("/")
        if name == "__init__.py" and folder:
            package = importlib.import_module(f"afina.{folder.replace('/', '.')}")
            assert all(hasattr(package, public) for public in package.__all__), file.name
            assert not hasattr(package, "no_such_name")


def test_root() -> None:
    """Every name in `afina.__all__` can be imported, and no other."""
    import afina

    for name in afina.__all__:
        assert getattr(afina, name) is not None
    assert not hasattr(afina, "Trainr")


def test_a_forgotten_name_is_seen() -> None:
    """A name that is imported but missing from `__all__` is found."""
    tree = ast.parse("from afina.x import a, b\n__all__ = ['a']\n")

    assert imported_names(tree) == {"a", "b"}
