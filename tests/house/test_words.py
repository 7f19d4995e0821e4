"""The phrases that docs/design/words.md rules out are used nowhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = ROOT / "docs" / "design" / "words.md"
# Generated from the source, which is searched itself.
GENERATED = ROOT / "docs" / "reference"
# Files with such phrases in them. Only shorten the list.
NOT_YET: set[str] = set()


def read_banned(page: str) -> list[str]:
    """Return the phrases of the table "Phrases that are not used" of words.md."""
    table = page.partition("## Phrases that are not used")[2]
    rows = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:]
    return [phrase.strip() for cell in rows for phrase in cell.split(",")]


def as_pattern(phrases: list[str]) -> re.Pattern[str]:
    """Match any of the phrases as whole words, also across the end of a line or of a string."""
    gap = r"[\s\"'#]+(?:f[\"'])?"
    patterns = [gap.join(map(re.escape, phrase.split())) for phrase in phrases]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(patterns)})(?![\w-])", re.IGNORECASE)


def _read(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return re.sub(r"`[^`\n]*`", "``", text) if path.suffix == ".md" else text


def searched_files() -> dict[str, str]:
    """Return the text of everything that a reader reads, by its path; pages without their code."""
    files = [
        *(ROOT / "src").rglob("*.py"),
        *(ROOT / "bench").glob("*.py"),
        *(ROOT / "examples").glob("*.*"),
        *(page for page in (ROOT / "docs").rglob("*.md") if page != WORDS),
        *(ROOT / "bench").glob("*.md"),
        *ROOT.glob("*.md"),
    ]
    return {
        path.relative_to(ROOT).as_posix(): _read(path)
        for path in sorted(files)
        if GENERATED not in path.parents
    }


def test_banned_phrases() -> None:
    """No file of the package, its pages, benchmarks and examples has a phrase that is ruled out."""
    pattern = as_pattern(read_banned(WORDS.read_text(encoding="utf-8")))
    places = {
        file: [
            f"line {text.count(chr(10), 0, m.start()) + 1}: {m[0]}" for m in pattern.finditer(text)
        ]
        for file, text in searched_files().items()
    }
    faulty = {file: lines for file, lines in places.items() if lines}

    assert {} == {file: lines for file, lines in faulty.items() if file not in NOT_YET}
    assert set() == NOT_YET - faulty.keys()  # clean, or gone: strike them from the list


@pytest.mark.parametrize(
    "text",
    [
        "It is kept letter by\n    letter.",
        'f"it goes on "\n  f"with x"',
        "# in\n# turns",
        "Answers.",
    ],
)
def test_a_phrase_is_seen(text: str) -> None:
    """A phrase is found in any case, across lines, comments and joined strings."""
    pattern = as_pattern(["letter by letter", "goes on with", "in turns", "answers"])

    assert pattern.search(text)


@pytest.mark.parametrize("text", ["by letter", "it returns", "answers_to", "turn-in turnstile"])
def test_other_words_pass(text: str) -> None:
    """Part of a phrase, or of a longer word, is no phrase."""
    pattern = as_pattern(["letter by letter", "in turns", "answers"])

    assert not pattern.search(text)


def test_the_page_has_phrases() -> None:
    """The table of words.md is read."""
    banned = read_banned(WORDS.read_text(encoding="utf-8"))

    assert len(banned) > 20
    assert "letter by letter" in banned
