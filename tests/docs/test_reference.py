"""The reference agrees with the code."""

import importlib.util
import inspect
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

import afina

DOCS = Path(__file__).parents[2] / "docs"
BENCH = DOCS.parent / "bench"


def load_pages() -> dict[str, Callable[[], str]]:
    """Import the script that writes the reference."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[str, Callable[[], str]] = module.PAGES
    return pages


@pytest.mark.parametrize("name", ["cli.md", "python.md", "settings.md"])
def test_reference_is_up_to_date(name: str) -> None:
    """Each page of docs/reference is what `python docs/generate_reference.py` writes."""
    if name == "cli.md" and tuple(map(int, version("typer").split(".")[:2])) < (0, 29):
        pytest.skip("the page shows typer's help as it is since 0.29")
    expected = load_pages()[name]()

    assert expected == (DOCS / "reference" / name).read_text(encoding="utf-8")


def test_every_command_is_in_the_reference() -> None:
    """Each file of afina.cli that holds a command has a section."""
    page = load_pages()["cli.md"]()

    for command in ["fit", "predict", "evaluate", "inspect", "report", "resume"]:
        assert f"\n## afina {command}\n" in page


def test_public_names_are_documented() -> None:
    """Every class and function that `afina` offers, and each of its methods, has a docstring."""
    for name in afina.__all__:
        value = getattr(afina, name)
        if not inspect.isclass(value) and not inspect.isroutine(value):
            continue
        assert value.__doc__, name
        for method, body in vars(value).items() if inspect.isclass(value) else ():
            if inspect.isfunction(body) and not method.startswith("_"):
                assert inspect.getdoc(getattr(value, method)), f"{name}.{method}"


def test_pages_are_linked() -> None:
    """Every page of docs/ is in its index."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    names = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} - {"index.md"}

    assert {name for name in names if f"({name})" not in index} == set()


def test_links_lead_somewhere() -> None:
    """Every link from a page to a file of the project leads to a file."""
    dead = [
        f"{page.relative_to(DOCS.parent)}: {link}"
        for page in [*DOCS.parent.glob("*.md"), *DOCS.rglob("*.md"), *BENCH.glob("*.md")]
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]

    assert dead == []
