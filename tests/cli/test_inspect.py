"""afina inspect."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_columns(cars: Path, afina_here: Run, tmp_path: Path) -> None:
    """Each column has a line with its kind and why; nothing is written."""
    run = afina_here("inspect", cars)

    assert (0, "") == (run.returncode, run.stderr)
    lines = [line.split() for line in run.stdout.splitlines()]
    assert lines[0][1:] == ["160", "rows,", "4", "columns"]
    kinds = {line[0]: line[1] for line in lines[2:]}
    assert {"size": "numeric", "color": "categorical", "note": "ignored"}.items() <= kinds.items()
    assert [cars] == list(tmp_path.iterdir())


def test_kind_and_json(cars: Path, afina_here: Run) -> None:
    """--kind decides; --json gives the schema that a fit would keep."""
    run = afina_here("inspect", cars, "--target", "class", "--kind", "size=categorical", "--json")

    found = json.loads(run.stdout)
    columns = {column["name"]: column for column in found["schema"]["columns"]}
    assert (1, "class", 160) == (found["schema_version"], found["target"], found["n_rows"])
    assert columns["size"]["kind"] == "categorical"
    assert "class" not in columns


def test_wide_tables_are_cut(afina_here: Run, tmp_path: Path) -> None:
    """Of hundreds of columns 40 are shown, and -v shows all."""
    names = [f"c{i}" for i in range(300)]
    rows = [[str((i * j) % 7 + i / 8) for j in range(300)] for i in range(9)]
    text = "\n".join(",".join(row) for row in [names, *rows])
    (tmp_path / "wide.csv").write_text(text + "\n")

    short, whole = afina_here("inspect", "wide.csv"), afina_here("inspect", "wide.csv", "-v")

    assert short.stdout.splitlines()[-1] == "  and 260 more (-v shows all)"
    assert len(short.stdout.splitlines()) == 43
    assert "\n  c299 " in whole.stdout


def test_cells_do_not_steer_the_terminal(afina_here: Run, tmp_path: Path) -> None:
    """A column's name with control characters is shown with them escaped."""
    (tmp_path / "t.csv").write_bytes(b"a,b\x1b[31m\n1,2\n2,3\n3,1\n")

    run = afina_here("inspect", "t.csv")

    assert "\x1b" not in run.stdout + run.stderr
