"""What is told about a table to predict, and never told: a library's names and paths."""

import csv
import io
import re
import subprocess
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet
import pytest

import afina as package
from afina.errors import AfinaError, AfinaWarning

Run = Callable[..., "subprocess.CompletedProcess[str]"]
FOREIGN = re.compile(
    r"site-packages|\b(Arrow|JSON|Unicode|Key|Value|Type|Index|OS)\w*Error\b|Arrow\w*Invalid"
)


def test_unlike_cells_are_told(fitted, afina_here: Run) -> None:
    """Predictions for a new level and a far number come with a note on stderr, in Python a warning."""
    (fitted.folder / "new.csv").write_text("size,color,note\n1,red,a\n1e12,red,a\n1,pink,a\n")

    run = afina_here("predict", "a run", "new.csv")
    quiet = afina_here("predict", "a run", "new.csv", "-q")
    with (
        pytest.warns(AfinaWarning, match=r"'pink' \(row 3\)"),
        pytest.warns(AfinaWarning, match=r"'1e12' \(row 2\)"),
    ):
        package.load(fitted.folder / "a run").predict_table(fitted.folder / "new.csv")

    assert len(run.stdout.splitlines()) == 4
    assert "note: new.csv: column 'color': 1 cell with a value that the model does not know" in (
        run.stderr
    )
    assert "such as '1e12' (row 2)" in run.stderr
    assert (quiet.stdout, quiet.stderr) == (run.stdout, "")


def test_unlike_cells_are_told_by_evaluate(fitted, afina_here: Run) -> None:
    """Scores on such rows come with the same notes, in --json too."""
    (fitted.folder / "new.csv").write_text(
        "size,color,note,class\n" + "1,red,a,01\n1,pink,a,02\n" * 2
    )

    run = afina_here("evaluate", "a run", "new.csv", "--json")

    assert "note: column 'color': 2 cells with a value" in run.stderr
    assert "2 cells with a value that the model does not know, such as 'pink'" in run.stdout


def test_the_training_table_gets_no_note(fitted, afina_here: Run) -> None:
    """Rows like those of training are predicted without a word."""
    assert afina_here("predict", "a run", "cars.csv").stderr == ""


def test_blank_lines_of_a_table_to_predict(fitted, afina_here: Run) -> None:
    """Fewer predictions than lines are explained."""
    (fitted.folder / "new.csv").write_text("size,color,note\n1,red,a\n\n\n2,blue,a\n")

    run = afina_here("predict", "a run", "new.csv")

    assert len(list(csv.DictReader(io.StringIO(run.stdout)))) == 2
    assert "note: new.csv: 2 blank lines are skipped (the first is line 3)" in run.stderr


def test_notes_of_a_fit(tmp_path, afina_here: Run) -> None:
    """Codes, dates of either order and labels that look alike are told by `fit` and `inspect`."""
    rows = "".join(
        f"{(101, 205, 377)[i % 3]},0{i % 9 + 1}/0{i % 7 + 1}/2024,{('1', '2', '1.0')[i % 3]}\n"
        for i in range(60)
    )
    (tmp_path / "t.csv").write_text("shop,day,y\n" + rows)
    arguments = ["t.csv", "--target", "y", "--set", "table.task=classification"]

    fit = afina_here("fit", *arguments, "--set", "train.max_epochs=1")
    look = afina_here("inspect", *arguments)

    for text in (fit.stderr, look.stdout):
        assert "`--kind shop=categorical` (in Python: kinds={'shop': 'categorical'})" in text
        assert "month first is assumed: '01/01/2024' is 2024-01-01" in text
        assert "target 'y': '1', '1.0' are the same number and one class" in text


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.parquet", b"junk" * 10),
        ("x.parquet", b""),
        ("x.feather", b"junk" * 50),
        ("x.arrow", b"ARROW1"),
        ("x.csv", bytes(range(1, 256))),
        ("x.csv", b'a,b\n"1,2\n'),
        ("x.csv.gz", b"\x1f\x8bjunk"),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "predict"])
def test_no_foreign_names(fitted, afina_here: Run, name: str, data: bytes, command: str) -> None:
    """A damaged file is described in words, not by the class of a library's error."""
    (fitted.folder / name).write_bytes(data)
    arguments = [name] if command == "inspect" else ["a run", name]

    run = afina_here(command, *arguments)

    assert run.returncode == 3
    assert not FOREIGN.search(run.stderr), run.stderr


@pytest.mark.parametrize(
    "name", ["run.json", "summary.json", "model/model.json", "model/schema.json"]
)
def test_no_foreign_names_for_a_damaged_run(fitted, afina_here: Run, name: str) -> None:
    """Neither is a damaged run."""
    (fitted.folder / "a run" / name).write_text("{")

    for arguments in (["report", "a run"], ["resume", "a run"], ["predict", "a run", "cars.csv"]):
        run = afina_here(*arguments)
        assert not FOREIGN.search(run.stderr), run.stderr


def test_an_odd_type_in_a_file(tmp_path) -> None:
    """A column of lists is refused in afina's words."""
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(pa.table({"a": [[1], [2]], "y": [1, 2]}), path)

    with pytest.raises(AfinaError, match="column 'a' must hold text, numbers") as error:
        package.table.read_table(path)
    assert not FOREIGN.search(str(error.value))
