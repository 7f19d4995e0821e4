"""Names say what a thing is; words that fit everything say nothing."""

import ast
import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import SourceFile

BANNED = {
    "base",
    "common",
    "container",
    "core",
    "handler",
    "helper",
    "manager",
    "misc",
    "processor",
    "tool",
    "util",
    "wrapper",
}


def banned_words(name: str) -> set[str]:
    """Find banned words in a snake_case or CamelCase name, in singular or plural."""
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)
    return {word for word in (w.lower() for w in words) if {word, word.removesuffix("s")} & BANNED}


def test_files_and_classes(source_files: "list[SourceFile]") -> None:
    """No file, folder or class has an empty word in its name."""
    empty = {}
    for file in source_files:
        names = [*file.name.removesuffix(".py").split("/")]
        names += [node.name for node in ast.walk(file.tree) if isinstance(node, ast.ClassDef)]
        empty |= {f"{file.name}: {name}": words for name in names if (words := banned_words(name))}

    assert {} == empty


def places_of(pairs: "list[tuple[str, str]]") -> dict[str, list[str]]:
    """Return the places of each name, from pairs of a name and a place."""
    places = defaultdict(list)
    for name, place in pairs:
        places[name].append(place)
    return places


def public_classes(file: "SourceFile") -> list[tuple[str, str]]:
    """Return the public classes at the top level of a file, each with the file's name."""
    return [
        (node.name, file.name)
        for node in file.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def test_public_classes_have_names_of_their_own(source_files: "list[SourceFile]") -> None:
    """No two public classes of the package share a name."""
    classes = places_of([pair for file in source_files for pair in public_classes(file)])
    shared = {name: files for name, files in classes.items() if len(files) > 1}

    assert {} == shared


def test_no_file_name_occurs_three_times(source_files: "list[SourceFile]") -> None:
    """At most two files share a name, so that an editor's tabs tell them apart.

    Each package's settings are in its `settings.py`, so that they are found without a search.
    """
    files = places_of([(PurePosixPath(file.name).name, file.name) for file in source_files])
    del files["__init__.py"], files["settings.py"]

    assert {} == {name: places for name, places in files.items() if len(places) > 2}


def test_a_shared_name_is_seen() -> None:
    """Two places of one name are both listed."""
    assert places_of([("Run", "a.py"), ("Run", "b.py")]) == {"Run": ["a.py", "b.py"]}


@pytest.mark.parametrize("name", ["utils", "train_helpers", "BaseModel", "HTTPHandler", "tools"])
def test_an_empty_word_is_seen(name: str) -> None:
    """The usual empty names are found."""
    assert banned_words(name)


@pytest.mark.parametrize("name", ["baseline", "score", "SourceFile", "database", "toolbox"])
def test_other_words_pass(name: str) -> None:
    """A word that merely contains a banned one passes."""
    assert not banned_words(name)
