"""The command line as a user has it: a program with two streams and an exit code."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
LOOKS = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS")


@pytest.fixture
def afina(tmp_path: Path) -> Run:
    """Give a function that runs `afina` in an empty folder."""

    def run(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
        plain = {name: value for name, value in os.environ.items() if name not in LOOKS}
        return subprocess.run(
            [sys.executable, "-m", "afina", *map(str, arguments)],
            cwd=tmp_path,
            env={**plain, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    return run
