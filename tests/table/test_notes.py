"""What is told about columns as they are learned: the user may want it otherwise."""

import random

import numpy as np
import pytest

from afina.errors import AfinaWarning
from afina.table import infer_schema, read_table, to_table


def notes(cells: object, name: str = "a", **options: object) -> list[str]:
    """Learn one column, and return what is said about it."""
    said: list[str] = []
    infer_schema(to_table({name: cells}), notes=said, **options)
    return said


def test_dates_of_either_order() -> None:
    """Dates that both orders fit are told, with one of them; those of one order are not."""
    [note] = notes(["03/04/2024", "05/06/2024"])

    assert "day first or month first, and month first is assumed" in note
    assert "'03/04/2024' is 2024-03-04. Write them as YYYY-MM-DD if that is wrong" in note
    assert notes(["03/04/2024", "25/06/2024"]) == []
    assert notes(["2024-04-03", "2024-06-05"]) == []


def test_empty_text_and_null() -> None:
    """A file or frame that tells empty text from null is told that both are missing."""
    assert notes(["x", "y", "", None, "", "x"] * 3) == [
        "column 'a': 6 cells with empty text and 3 without a value are all treated as missing"
    ]
    assert notes(["x", "y", None, "x"] * 3) == notes(["x", "y", "", "x"] * 3) == []


def test_only_training_rows_are_looked_at() -> None:
    """Rows that are held out say nothing."""
    assert notes(["x", "y", "x", "", None], rows=[0, 1, 2]) == []


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("store_id", np.arange(1, 40)),
        ("ZIP", [10001, 20002, 30003] * 4),
        ("productCode", ["17", "4", "9"] * 4),
        ("s", np.repeat([101, 205, 377, 912], 8)),
        ("s", np.repeat([11, 21, 22, 31, 42, 44, 81, 92], 9)),
    ],
)
def test_codes(name: str, cells: object) -> None:
    """Whole numbers that look like codes are told, with the option that makes them categories."""
    order = random.Random(0).sample(range(len(cells)), len(cells))
    cells = [cells[at] for at in order]
    [note] = notes(cells, name)

    assert f"`--kind {name}=categorical` (in Python: kinds={{'{name}': 'categorical'}})" in note
    assert notes(cells, name, kinds={name: "numeric"}) == []
    assert notes(cells, name, kinds={name: "categorical"}) == []


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("age", np.repeat(np.arange(18, 70), 6)),
        ("price", np.repeat([100, 150, 200, 250], 9)),
        ("year", np.repeat([1974, 1981, 1999, 2011, 2020], 9)),
        ("count", np.repeat([0, 1, 2, 3, 50], 9)),
        ("idea", [5, 7, 9] * 9),
        ("stars", [1, 2, 3, 4, 5] * 9),
        ("x_id", [0.5, 1.5, 2.5] * 9),
        ("has_id", [0, 1] * 9),
    ],
)
def test_no_codes(name: str, cells: object) -> None:
    """Ages, prices, years, counts and grades are no codes."""
    assert notes(cells, name) == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_blank_lines(tmp_path, end: str) -> None:
    """Lines that get no row are counted, so that predictions can be matched to lines."""
    path = tmp_path / "t.csv"
    path.write_bytes(end.join(["a,b", "1,2", "", "3,4", "", "", "5,6", "", ""]).encode())

    with pytest.warns(AfinaWarning, match=r"3 blank lines are skipped \(the first is line 3\)"):
        assert read_table(path).num_rows == 3


def test_a_blank_line_after_the_names(tmp_path) -> None:
    """A single one is told as well, in a table of one column too."""
    path = tmp_path / "t.csv"
    path.write_text("a\n\n1\n2\n")

    with pytest.warns(AfinaWarning, match=r"1 blank line is skipped \(line 2\): it gets no row"):
        assert read_table(path).num_rows == 2


def test_blank_lines_inside_a_cell_and_at_the_end(tmp_path) -> None:
    """Lines of a quoted cell, and those after the last row, are not told."""
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"x\n\ny"\n2,z\n\n\n')

    assert read_table(path).num_rows == 2
