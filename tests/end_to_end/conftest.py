"""The command line on real files, in this process: an exit code and two streams."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from afina.cli import run_command_line

QUICK = [
    "--set",
    "model.d_block=16",
    "--set",
    "model.n_blocks=1",
    "--set",
    "train.max_epochs=3",
    "--set",
    "train.lr=0.01",
    "--set",
    "train.batch_size=16",
]


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def afina(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Return a function that runs `afina` in an empty folder; `quick=True` trains in a second."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path, quick: bool = False, last: Sequence[str] = ()) -> Ran:
        capsys.readouterr()
        code = run_command_line([*map(str, arguments), *(QUICK if quick else []), *last])
        found = capsys.readouterr()
        return Ran(code, found.out, found.err)

    return run


def loan_lines(n_rows: int = 80, seed: int = 0) -> list[str]:
    """Write a table of words, numbers, gaps, dates and codes, with a target of words."""
    rng = np.random.default_rng(seed)
    lines = ["income,job,since,zip,grade"]
    for row in range(n_rows):
        income, job = rng.normal(2000, 500), rng.choice(["cook", "nurse", "NA", "clerk"])
        since = np.datetime64("2020-01-01") + rng.integers(0, 900)
        grade = "yes" if income + 300 * (job == "nurse") > 2100 else "no"
        shown = "" if row % 13 == 5 else f"{income:.2f}"
        lines.append(f"{shown},{job},{since},{rng.integers(0, 12):05d},{grade}")
    return lines


@pytest.fixture
def loans(tmp_path: Path) -> Path:
    """Return a table whose target is `grade`."""
    path = tmp_path / "loans.csv"
    path.write_text("\n".join(loan_lines()) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def more_loans(tmp_path: Path) -> Path:
    """Return another table of the same columns."""
    path = tmp_path / "more.csv"
    path.write_text("\n".join(loan_lines(30, seed=1)) + "\n", encoding="utf-8")
    return path
