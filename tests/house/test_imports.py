"""Imports go downward only, and nothing heavy is imported before it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = [
    *("torch", "sklearn", "numpy", "pyarrow", "pydantic"),
    *("pandas", "altair", "narwhals", "jinja2", "rich"),
]
COMPILER = [
    *("torch._dynamo", "torch._inductor", "torch.fx.experimental.symbolic_shapes", "sympy"),
    *("torch.onnx", "torch.distributed.fsdp", "torch.distributed.tensor", "vl_convert"),
]


def loaded(code: str) -> list[str]:
    """Run code in a fresh interpreter; return the heavy modules that it has loaded."""
    end = f"import sys; print(*[m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{end}"], capture_output=True, text=True, check=True
    )
    return run.stderr.split()


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """Help and version need neither torch nor numpy, pyarrow, pydantic and the like."""
    code = f"from afina.cli import run_command_line; run_command_line({arguments})"

    assert not set(loaded(code)) & set(HEAVY)


@pytest.mark.parametrize(
    "arguments",
    [
        *([name, "--help"] for name in ["fit", "predict", "evaluate", "inspect", "report"]),
        ["resume", "--help"],
        [],
        ["fti"],
        ["fit", "--tagret", "x"],
        ["predict"],
    ],
)
def test_usage_loads_little(arguments: list[str]) -> None:
    """A command's help and usage errors need no torch; typer imports pydantic for options."""
    code = f"from afina.cli import run_command_line; run_command_line({arguments})"

    assert set(loaded(code)) & set(HEAVY) <= {"pydantic"}


def test_import_afina_loads_nothing_heavy() -> None:
    """`import afina` is quick; its names load what they need on first use."""
    assert loaded("import afina") == []


@pytest.mark.parametrize("name", ["json_record", "run_json", "summary_json", "state_json"])
def test_records_need_pydantic_alone(name: str) -> None:
    """A program that only reads the files of a run needs neither torch nor pyarrow nor numpy."""
    assert loaded(f"import afina.records.{name}") == ["pydantic"]


def test_reading_settings_does_not_wait_for_torch() -> None:
    """Settings are declared beside the code that uses them, and are read without it."""
    assert "torch" not in loaded("from afina.config import preset_config; preset_config('best')")


def test_a_fit_and_its_predictions_load_no_compiler(tmp_path: Path) -> None:
    """A fit, its report and predictions need neither torch's compiler nor scikit-learn.

    Each of them takes as long to import as a small table takes to fit. bench/startup.py measures it.
    """
    table = tmp_path / "table.csv"
    table.write_text("x,c,y\n" + "".join(f"{i},{'ab'[i % 2]},{i % 3}\n" for i in range(90)))
    code = (
        "from afina.cli import run_command_line as run\n"
        f"table, run_folder = {str(table)!r}, {str(tmp_path / 'run')!r}\n"
        "fit = ['fit', table, '--target', 'y', '--out', run_folder, '-q']\n"
        "assert run([*fit, '--set', 'train.max_epochs=2']) == 0\n"
        "assert run(['predict', run_folder, table, '--out', run_folder + '.csv']) == 0\n"
        "assert run(['evaluate', run_folder, table, '-q']) == 0\n"
        f"import sys; assert not set({COMPILER}) & set(sys.modules), sorted(sys.modules)"
    )

    assert "sklearn" not in loaded(code)
    assert (tmp_path / "run" / "report.html").exists()


def test_a_heavy_import_is_seen() -> None:
    """An import of numpy in the wrong place is found."""
    assert loaded("import numpy") == ["numpy"]


def test_layers() -> None:
    """The import contracts of pyproject.toml hold."""
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("import-linter is not installed here: it comes with afina[dev]")

    run = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout
