"""What users write type-checks under mypy --strict, and what is wrong does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import afina

ROOT = Path(__file__).parents[2]
PACKAGES = Path(afina.__file__).parents[1]
PROGRAMS = sorted(path for path in Path(__file__).parent.glob("*.py") if path.stem[:5] != "test_")


def type_check(*paths: Path) -> str:
    """Return the errors that mypy finds; an empty text if there are none."""
    pytest.importorskip("mypy", reason="mypy comes with afina[dev]")
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", *paths],
        cwd=ROOT,
        # mypy looks for the package that the tests import; what is installed it finds by itself.
        env=os.environ | ({} if PACKAGES.name == "site-packages" else {"MYPYPATH": str(PACKAGES)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not run.stderr, run.stderr
    return run.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_user_code_type_checks() -> None:
    """Each program passes; a wrong call in it carries the error's code, and must be wrong."""
    assert type_check(*PROGRAMS) == ""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wrong_call_is_seen(tmp_path: Path) -> None:
    """A misspelt keyword is an error: afina's types reach its users."""
    program = tmp_path / "wrong.py"
    program.write_text("import afina\nafina.AfinaClassifier(max_epoch=3)\n", encoding="utf-8")

    assert "[call-arg]" in type_check(program)
