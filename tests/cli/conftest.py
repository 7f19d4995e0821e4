"""The command line as a user has it: a program with two streams and an exit code."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from afina.cli import run_command_line

Done = subprocess.CompletedProcess[str]
LOOKS = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS")
COLORS = ["red", "green", "blue", ""]


def run_afina(folder: Path, *arguments: str | Path, **environment: str) -> Done:
    """Run `afina` in a folder."""
    plain = {name: value for name, value in os.environ.items() if name not in LOOKS}
    return subprocess.run(
        [sys.executable, "-m", "afina", *map(str, arguments)],
        cwd=folder,
        env={**plain, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def write_cars(path: Path, n_rows: int = 160) -> None:
    """Write a table whose label, `01` or `02`, follows from size and color."""
    rng = np.random.default_rng(0)
    lines = ["size,color,note,class"]
    for row in range(n_rows):
        size, color = rng.normal(), rng.integers(len(COLORS))
        label = "01" if size + color > 1 else "02"
        cell = "" if row % 9 == 0 else f"{size:.3f}"
        lines.append(f"{cell},{COLORS[color]},same,{'' if row == 3 else label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Fitted:
    """A folder with a table, `cars.csv`, and a run fitted on it, `a run`.

    Args:
        folder: where both are.
        done: how the fit ended.
    """

    folder: Path
    done: Done


@pytest.fixture
def afina(tmp_path: Path) -> Callable[..., Done]:
    """Return a function that runs `afina` in an empty folder."""

    def run(*arguments: str | Path, **environment: str) -> Done:
        return run_afina(tmp_path, *arguments, **environment)

    return run


@pytest.fixture
def afina_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Return a function that does what the program does, in this process: torch is loaded once."""

    def run(*arguments: str | Path) -> Done:
        words = list(map(str, arguments))
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        code = run_command_line(words)
        return Done(words, code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def fitted_once(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """Fit once for all tests."""
    folder = tmp_path_factory.mktemp("fitted")
    write_cars(folder / "cars.csv")
    settings = ["--set", "train.max_epochs=30", "--set", "train.lr=0.01"]
    done = run_afina(folder, "fit", "cars.csv", "--target", "class", "--out", "a run", *settings)
    return Fitted(folder, done)


@pytest.fixture
def fitted(fitted_once: Fitted, tmp_path: Path) -> Fitted:
    """Return the test a copy of its own, in its empty folder."""
    assert fitted_once.done.returncode == 0, fitted_once.done.stderr
    shutil.copytree(fitted_once.folder, tmp_path, dirs_exist_ok=True)
    return Fitted(tmp_path, fitted_once.done)


@pytest.fixture
def cars(tmp_path: Path) -> Path:
    """Return a small table."""
    path = tmp_path / "cars.csv"
    write_cars(path)
    return path


def read_tree(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """Return the function that reads every file below a folder."""
    return read_tree
