"""Every remedy that a message names works where the user stands: the command is repeated with it."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import afina as package
from afina.errors import AfinaError
from afina.table import read_table

Run = Callable[..., "subprocess.CompletedProcess[str]"]
QUICK = ["--set", "train.max_epochs=1"]


def remedy(text: str) -> list[str]:
    """Return the options in the backticks of a message, cut as a shell would cut them."""
    [quoted] = re.findall(r"`(--[^`]*)`", text)
    return shlex.split(quoted)


def as_latin_1(path: Path) -> Path:
    """Write a copy of a table that is no UTF-8."""
    copy = path.with_name("latin.csv")
    copy.write_bytes(path.read_text().replace("same", "mêmes").encode("latin-1"))
    return copy


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_an_encoding_for_one_table(fitted, afina_here: Run, command: str) -> None:
    """A model of a UTF-8 table reads a Latin-1 one with the option that the message names."""
    as_latin_1(fitted.folder / "cars.csv")

    refused = afina_here(command, "a run", "latin.csv")
    read = afina_here(command, "a run", "latin.csv", *remedy(refused.stderr))

    assert (refused.returncode, read.returncode) == (3, 0), read.stderr
    assert remedy(refused.stderr) == ["--set", "table.encoding=latin-1"]


@pytest.mark.parametrize("command", ["fit", "inspect"])
def test_an_encoding_before_training(cars: Path, afina_here: Run, command: str) -> None:
    """`fit` and `inspect` take the same option."""
    as_latin_1(cars)
    arguments = [command, "latin.csv", "--target", "class", *QUICK]

    refused = afina_here(*arguments)
    read = afina_here(*arguments, *remedy(refused.stderr))

    assert (refused.returncode, read.returncode) == (3, 0), read.stderr


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize("delimiter", [";", "\t", r"\t"])
def test_a_delimiter_for_one_table(fitted, afina_here: Run, command: str, delimiter: str) -> None:
    """A table with commas inside its cells is read with the delimiter that is named.

    A tab is written as a shell passes it: as itself, or as two characters.
    """
    mark = "\t" if delimiter == r"\t" else delimiter
    text = (fitted.folder / "cars.csv").read_text().replace(",", mark)
    header, *rows = text.splitlines()
    (fitted.folder / "new.csv").write_text("size,color\n1,2,3\n")
    refused = afina_here(command, "a run", "new.csv")
    commas = header.replace("note", "a,b,c,d,e,f") + "\n"  # more of them than of any other mark
    (fitted.folder / "new.csv").write_text("\n".join([commas.strip(), *rows]) + "\n")

    guessed = afina_here(command, "a run", "new.csv")
    read = afina_here(command, "a run", "new.csv", "--set", f"table.delimiter={delimiter}")

    assert refused.returncode == 3
    assert remedy(refused.stderr) == ["--set", "table.delimiter=..."]
    assert (guessed.returncode, read.returncode) == (3, 0), read.stderr


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_settings_of_the_model_stay(fitted, afina_here: Run, command: str) -> None:
    """What the model learned with cannot be set for a table to predict."""
    run = afina_here(command, "a run", "cars.csv", "--set", "train.lr=1")

    assert run.returncode == 2
    assert "--set can only change table.delimiter or table.encoding; got train.lr." in run.stderr


def test_overwrite(fitted, afina_here: Run) -> None:
    """A run and predictions that are there already are replaced with --overwrite."""
    fit = ["fit", "cars.csv", "--target", "class", "--out", "a run", *QUICK]
    predict = ["predict", "a run", "cars.csv", "--out", "p.csv"]
    assert afina_here(*predict).returncode == 0

    for arguments in (fit, predict):
        refused = afina_here(*arguments)
        assert refused.returncode == 5
        assert "add --overwrite" in refused.stderr
        replaced = afina_here(*arguments, "--overwrite")
        assert replaced.returncode == 0, replaced.stderr


def test_overwrite_in_python(fitted) -> None:
    """`overwrite=True`, which the message names, is an argument of `fit_table`."""
    table, out = fitted.folder / "cars.csv", fitted.folder / "a run"
    with pytest.raises(AfinaError, match=r"in Python: overwrite=True") as error:
        package.tabular.fit_table(table, target="class", out=out)

    assert error.value.exit_code == 5


@pytest.mark.parametrize("encoding", ["latin-1", None])
def test_an_encoding_in_python(fitted, encoding: str | None) -> None:
    """`encoding=`, which the message names, is an argument of whatever reads a file."""
    path = as_latin_1(fitted.folder / "cars.csv")
    model = package.load(fitted.folder / "a run")
    for read in (read_table, model.predict_table, model.evaluate_table):
        with pytest.raises(AfinaError, match=r"in Python: encoding='latin-1'"):
            read(path)
        assert read(path, encoding="latin-1") is not None


def test_a_kind_of_a_column_that_is_not_there(cars: Path, afina_here: Run) -> None:
    """A name like no column's gets no suggestion; one in another case does, and it works."""
    fit = ["fit", cars, "--target", "class", *QUICK, "--kind"]

    odd = afina_here(*fit, "Xyzzy=numeric")
    near = afina_here(*fit, "Size=numeric")
    [name] = re.findall(r"Did you mean '(.*)'\?", near.stderr)

    assert "Did you mean" not in odd.stderr
    assert "`afina inspect` lists the columns." in odd.stderr
    assert afina_here(*fit, f"{name}=numeric").returncode == 0


def test_a_kind_that_does_not_fit(tmp_path: Path, afina_here: Run) -> None:
    """The option to leave out is named as it was typed, quotes included."""
    rows = "".join(f"a{i},{i % 2}\n" for i in range(30))
    (tmp_path / "t.csv").write_text("my code,y\n" + rows)
    kind = ["--kind", "my code=numeric"]

    run = afina_here("fit", "t.csv", "--target", "y", *kind)

    assert run.returncode == 3
    assert remedy(run.stderr) == kind


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_headers_in_another_case(fitted, afina_here: Run, command: str) -> None:
    """A table whose headers are in another case names the columns that they may be."""
    text = (fitted.folder / "cars.csv").read_text()
    (fitted.folder / "new.csv").write_text(text.replace("size,color", "SIZE,Color"))

    run = afina_here(command, "a run", "new.csv")

    assert "Did you mean 'SIZE', 'Color'? Rename them to 'size', 'color'." in run.stderr


def test_a_target_in_another_case(cars: Path, afina_here: Run) -> None:
    """The target's name in another case is suggested."""
    run = afina_here("fit", cars, "--target", "Class")

    assert "Did you mean 'class'?" in run.stderr


def test_a_task_for_numbers_and_words(tmp_path: Path, afina_here: Run) -> None:
    """The task that the message names makes classes of a target that is mostly numbers."""
    rows = "".join(f"{i % 50},{'low' if i % 9 == 0 else i % 4}\n" for i in range(80))
    (tmp_path / "t.csv").write_text("x,y\n" + rows)
    fit = ["fit", "t.csv", "--target", "y", *QUICK]

    refused = afina_here(*fit)
    fitted = afina_here(*fit, *remedy(refused.stderr))

    assert (refused.returncode, fitted.returncode) == (3, 0), fitted.stderr


def test_an_option_of_another_command(fitted, afina_here: Run) -> None:
    """An option that a command lacks is refused with that command's help."""
    run = afina_here("predict", "a run", "cars.csv", "--kind", "size=numeric")

    assert run.returncode == 2
    assert "No such option: --kind" in run.stderr
    assert "`afina predict --help`" in run.stderr


def test_parquet_takes_no_encoding(fitted, afina_here: Run) -> None:
    """A file that is no text is read as before, whatever the encoding."""
    table = read_table(fitted.folder / "cars.csv")
    pa.parquet.write_table(table, fitted.folder / "new.parquet")

    run = afina_here("predict", "a run", "new.parquet", "--set", "table.encoding=latin-1")

    assert run.returncode == 0, run.stderr
