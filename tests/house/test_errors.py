"""Every error says what to do, in a part of its own."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from afina import errors

if TYPE_CHECKING:
    from conftest import SourceFile

OURS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.AfinaError)
}
# Files with errors that do not name their remedy as `fix=` yet. Only shorten the list.
NOT_YET: set[str] = set()
# Files with messages that still read "must ..., however: ...". Only shorten the list.
HOWEVER: set[str] = set()


@dataclass(frozen=True)
class Raised:
    """One call of an error class of ours, and its parts as source text."""

    place: str
    parts: dict[str, str]

    @property
    def has_remedy(self) -> bool:
        """Say whether a remedy is passed; another process's error brings its own."""
        return self.parts.get("fix", "None") != "None" or "relayed" in self.parts


def raised_errors(tree: ast.Module, file: str) -> Iterator[Raised]:
    """Find every call of an error class of afina: `raise E(...)` as well as `return E(...)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in OURS:
            parts = {keyword.arg or "**": ast.unparse(keyword.value) for keyword in node.keywords}
            yield Raised(f"{file}:{node.lineno}", parts)


def says_however(tree: ast.Module) -> bool:
    """Say whether a text in the code joins what came by ", however"."""
    return any(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and ", however" in node.value
        for node in ast.walk(tree)
    )


def test_every_error_has_a_remedy(source_files: "list[SourceFile]") -> None:
    """Each error of ours is built with `fix=`: what to do about it."""
    without: dict[str, list[str]] = {}
    for file in source_files:
        places = [e.place for e in raised_errors(file.tree, file.name) if not e.has_remedy]
        if places:
            without[file.name] = places

    assert {} == {name: places for name, places in without.items() if name not in NOT_YET}
    assert set() == NOT_YET - without.keys()  # converted, or gone: strike them from the list


def test_no_message_says_however(source_files: "list[SourceFile]") -> None:
    """What came instead is said by "; got ..." or ", but ..."."""
    saying = {file.name for file in source_files if says_however(file.tree)}

    assert saying == HOWEVER


def test_no_message_names_the_class_of_an_error(source_files: "list[SourceFile]") -> None:
    """Only the report of an internal error shows what Python or a library calls an error."""
    naming = {
        file.name
        for file in source_files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Attribute)
        and ast.unparse(node) in {f"type({name}).__name__" for name in ("error", "err", "reason")}
    }

    assert naming == {"cli/exits.py"}


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("raise ConfigError('p must be whole', got='1.5', fix='Write 1 or 2.')", True),
        ("raise errors.ConfigError('p must be whole', got='1.5', fix=advice)", True),
        ("raise ConfigError('p must be whole; got 1.5. Write 1 or 2.')", False),
        ("raise ConfigError('p must be whole', fix=None)", False),
        ("raise PeerError(text, relayed=True)", True),
    ],
)
def test_a_missing_remedy_is_seen(text: str, remedy: bool) -> None:
    """A message in one piece, or without advice, is found."""
    [error] = raised_errors(ast.parse(text), "x.py")

    assert error.has_remedy == remedy


def test_however_is_seen() -> None:
    """The former way of a message is found, in f-strings as well."""
    assert says_however(ast.parse("f'x must be 1, however: {x}'"))
    assert not says_however(ast.parse("f'x must be 1; got {x}'"))
