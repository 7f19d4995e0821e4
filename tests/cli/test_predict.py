"""afina predict."""

import csv
import io
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest

from afina.table import read_table

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Tree = Callable[[Path], dict[str, bytes]]


def test_rows_stay_in_order(fitted, afina: Run) -> None:
    """Each row gets its prediction, in the table's order; labels come back letter by letter."""
    header, *rows = (fitted.folder / "cars.csv").read_text().splitlines()
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    (fitted.folder / "mixed.csv").write_text("\n".join([header, *(rows[i] for i in order)]) + "\n")

    plain = afina("predict", "a run", "cars.csv")
    mixed = afina("predict", "a run", "mixed.csv")

    assert plain.returncode == mixed.returncode == 0
    first, second = (list(csv.DictReader(io.StringIO(run.stdout))) for run in (plain, mixed))
    assert list(first[0]) == ["prediction", "probability_01", "probability_02"]
    assert [first[i]["prediction"] for i in order] == [row["prediction"] for row in second]
    for i, row in zip(order, second, strict=True):
        ours, theirs = (float(x["probability_01"]) for x in (first[i], row))
        assert ours == pytest.approx(theirs, abs=1e-6)
        assert row["prediction"] == ("01" if ours > 0.5 else "02")


def test_the_model_folder_alone(fitted, afina_here: Run) -> None:
    """A model folder predicts like its run, also far from it; the answer fits the known labels."""
    (fitted.folder / "a run" / "model").rename(fitted.folder / "model")

    run = afina_here("predict", "model", "cars.csv", "--out", "p.parquet")

    assert (0, "") == (run.returncode, run.stdout)
    predicted = pyarrow.parquet.read_table(fitted.folder / "p.parquet")
    rows = csv.DictReader(io.StringIO((fitted.folder / "cars.csv").read_text()))
    known = [row["class"] for row in rows]
    right = [p == k for p, k in zip(predicted["prediction"].to_pylist(), known, strict=True)]
    assert sum(right) > 0.9 * len(right)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["narrow.csv", "--out", "new.csv"], 3, "'color'"),
        (["narrow.csv", "--out", "old.csv", "--overwrite"], 3, "'color'"),
        (["cars.csv", "--out", "old.csv"], 5, "add --overwrite"),
        (["cars.csv", "--out", "cars.csv", "--overwrite"], 5, "must not be the table"),
        (["cars.csv", "--out", "absent/p.csv"], 5, "there is no folder absent"),
        (["absent.csv"], 3, "absent.csv"),
    ],
)
def test_failures_touch_nothing(
    fitted, afina_here: Run, tree: Tree, arguments: list[str], code: int, words: str
) -> None:
    """A command that fails says why, leaves no output and touches no file that was there."""
    (fitted.folder / "narrow.csv").write_text("size\n1.0\n")
    (fitted.folder / "old.csv").write_text("precious")
    before = tree(fitted.folder)

    run = afina_here("predict", "a run", *arguments)

    assert (code, "") == (run.returncode, run.stdout)
    assert words in run.stderr
    assert run.stderr.startswith("error: ")
    assert before == tree(fitted.folder)


def test_a_damaged_model_is_refused(fitted, afina_here: Run) -> None:
    """One flipped bit in the weights is found, and the file is named."""
    path = fitted.folder / "a run" / "model" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    run = afina_here("predict", "a run", "cars.csv")

    assert (4, "") == (run.returncode, run.stdout)
    assert "model.safetensors" in run.stderr


def test_notes_go_to_stderr(fitted, afina_here: Run) -> None:
    """An extra column is a note on stderr, once; with -q it is silent; the data is the same."""
    lines = (fitted.folder / "cars.csv").read_text().splitlines()
    wide = [f"{line},{'extra' if i == 0 else i}" for i, line in enumerate(lines)]
    (fitted.folder / "wide.csv").write_text("\n".join(wide) + "\n")

    loud, quiet = (
        afina_here("predict", "a run", "wide.csv"),
        afina_here("predict", "a run", "wide.csv", "-q"),
    )

    assert loud.stderr.startswith("note: ")
    assert "extra" in loud.stderr
    assert loud.stderr.count("\n") == 1
    assert (0, "", loud.stdout) == (quiet.returncode, quiet.stderr, quiet.stdout)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "feather"])
def test_kept_columns(fitted, afina_here: Run, suffix: str) -> None:
    """--keep puts columns beside each prediction, in any format, without a note about them."""
    lines = (fitted.folder / "cars.csv").read_text().splitlines()
    with_id = [f"{'id' if i == 0 else f'00{i}'},{line}" for i, line in enumerate(lines)]
    (fitted.folder / "new.csv").write_text("\n".join(with_id) + "\n")
    run = afina_here(
        "predict", "a run", "new.csv", "--keep", "id", "--keep", "color", "--out", f"p.{suffix}"
    )
    path = fitted.folder / f"p.{suffix}"

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    table = read_table(path)
    assert table.column_names[:3] == ["id", "color", "prediction"]
    assert table["id"].to_pylist() == [f"00{i}" for i in range(1, len(lines))]
    assert table["color"].to_pylist() == [line.split(",")[1] for line in lines[1:]]
    plain = afina_here("predict", "a run", "cars.csv")
    labels = [row["prediction"] for row in csv.DictReader(io.StringIO(plain.stdout))]
    assert table["prediction"].to_pylist() == labels


@pytest.mark.parametrize(
    ("name", "words"),
    [("prediction", "'prediction' is one of them"), ("colour", "Did you mean 'color'?")],
)
def test_a_column_that_cannot_be_kept(fitted, afina_here: Run, name: str, words: str) -> None:
    """A name of the output's, or one that is not there, is refused before anything is written."""
    lines = (fitted.folder / "cars.csv").read_text().splitlines()
    wide = [f"{line},{'1' if i else 'prediction'}" for i, line in enumerate(lines)]
    (fitted.folder / "new.csv").write_text("\n".join(wide) + "\n")

    run = afina_here("predict", "a run", "new.csv", "--keep", name, "--out", "p.csv")

    assert (3, "") == (run.returncode, run.stdout)
    assert words in run.stderr
    assert not (fitted.folder / "p.csv").exists()
