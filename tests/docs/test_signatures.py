"""What is generated from the declarations of settings is current."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = [
    "src/afina/train/trainer.py",
    "src/afina/tabular/estimators/estimators.py",
    "README.md",
]


def run_cog(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run cog in the root of the project."""
    pytest.importorskip("cogapp", reason="cogapp comes with afina[dev]")
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "cogapp", "-I", "docs", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


def test_generated_parts_are_current() -> None:
    """Signatures, docstrings and README's table are what the declarations say."""
    run = run_cog("--check", *GENERATED)

    assert run.returncode == 0, run.stdout + run.stderr


def test_a_changed_part_is_seen(tmp_path: Path) -> None:
    """A default that was changed by hand is found."""
    text = (ROOT / GENERATED[0]).read_text(encoding="utf-8")
    changed = tmp_path / "trainer.py"
    changed.write_text(text.replace("max_epochs: int = 100", "max_epochs: int = 99"))

    assert run_cog("--check", str(changed)).returncode != 0
