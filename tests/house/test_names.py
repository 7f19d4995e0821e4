"""Names say what a thing is; words that fit everything say nothing."""

import ast
import re
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
    """No file, folder or class is named by an empty word."""
    found = {}
    for file in source_files:
        names = [*file.name.removesuffix(".py").split("/")]
        names += [node.name for node in ast.walk(file.tree) if isinstance(node, ast.ClassDef)]
        found |= {f"{file.name}: {name}": words for name in names if (words := banned_words(name))}

    assert {} == found


@pytest.mark.parametrize("name", ["utils", "train_helpers", "BaseModel", "HTTPHandler", "tools"])
def test_an_empty_word_is_seen(name: str) -> None:
    """The usual empty names are found."""
    assert banned_words(name)


@pytest.mark.parametrize("name", ["baseline", "score", "SourceFile", "database", "toolbox"])
def test_other_words_pass(name: str) -> None:
    """A word that only contains a banned one is no banned one."""
    assert not banned_words(name)
