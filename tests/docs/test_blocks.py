r"""The code in README.md and docs/ runs exactly as written.

Every block marked `python`, `console`, `bash` or `sh` runs: the blocks of a page in order, in one
folder with the bundled table as `loans.csv` and the files of `examples/data/`. In a `console` block,
lines that begin with `$ ` are commands; the rest is their output, which is not compared. The Python
blocks of a page share their names.

A comment in the line above a block changes this:

    <!-- not run: reason -->    the block is only shown
    <!-- exit code 2 -->        the last command of the block ends with this exit code
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from afina.data import bundled_table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = {"python", "console", "bash", "sh"}
FENCE = re.compile(
    r"(?:<!-- (?P<comment>[^\n]*?) -->\n+)?^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code on a page."""

    language: str
    text: str
    exit_code: int


def read_blocks(page: str) -> list[Block]:
    """Return the blocks of a page that run."""
    blocks = []
    for fence in FENCE.finditer(page):
        comment = fence["comment"] or ""
        if fence["language"] not in RUN or re.match(r"not run: \w", comment):
            continue
        code = re.fullmatch(r"exit code (\d+)", comment)
        blocks.append(Block(fence["language"], fence["text"], int(code[1]) if code else 0))
    return blocks


def as_script(blocks: list[Block]) -> str:
    """Return one shell script for the blocks of a page; its Python blocks form one growing program."""
    lines = ["set -eu"]
    program = ""
    for number, block in enumerate(blocks):
        if block.language == "python":
            # All Python blocks so far run again, so that later blocks know the names of earlier ones.
            program += block.text
            Path(f"block{number}.py").write_text(program, encoding="utf-8")
            lines.append(f"code=0; '{sys.executable}' block{number}.py || code=$?")
        else:
            commands = block.text
            if block.language == "console":
                shown = [line for line in commands.splitlines() if line.startswith(("$ ", "> "))]
                commands = "".join(f"{line[2:]}\n" for line in shown)
            # A separate file, because bash ignores -e before ||.
            Path(f"block{number}.sh").write_text(commands, encoding="utf-8")
            lines.append(f"code=0; bash -euo pipefail block{number}.sh || code=$?")
        lines.append(f"test $code = {block.exit_code}")
    return "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of the page ends with the exit code that it states."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(bundled_table(), tmp_path / "loans.csv")
    if (ROOT / "examples" / "data").is_dir():
        shutil.copytree(ROOT / "examples" / "data", tmp_path, dirs_exist_ok=True)
    blocks = read_blocks(page.read_text(encoding="utf-8"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    run = subprocess.run(
        ["bash", "-c", as_script(blocks)],
        # One thread, because two test processes share two cores.
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )

    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("text", "works"),
    [
        ("```python\n1 / 0\n```\n", False),
        ("```python\na = 1\n```\n\n```python\nassert a == 1\n```\n", True),
        ("```console\n$ true\noutput\n$ false\n```\n", False),
        ("```console\n$ false\n$ true\n```\n", False),
        ("<!-- exit code 2 -->\n```console\n$ true\n$ exit 2\n```\n", True),
        ("<!-- exit code 2 -->\n```bash\ntrue\n```\n", False),
        ("<!-- not run: needs the moon -->\n```bash\nfalse\n```\n", True),
        ("<!-- not run: -->\n```bash\nfalse\n```\n", False),
        ("```text\nfalse\n```\n", True),
    ],
)
def test_a_wrong_block_is_seen(
    text: str, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that fails at any command fails the page; one that does not run says why."""
    monkeypatch.chdir(tmp_path)

    run = subprocess.run(
        ["bash", "-c", as_script(read_blocks(text))], capture_output=True, check=False
    )

    assert works == (run.returncode == 0)
