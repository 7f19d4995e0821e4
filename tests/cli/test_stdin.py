"""A table from standard input, for the commands that read one."""

import io
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest

Run = Callable[..., "CompletedProcess[str]"]


class Stdin:
    """Standard input that holds some bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.fixture
def pipe(afina_here: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command with the bytes of a file, or others, on stdin."""

    def run_with(data: Path | bytes, *arguments: str | Path) -> "CompletedProcess[str]":
        raw = data if isinstance(data, bytes) else data.read_bytes()
        monkeypatch.setattr(sys, "stdin", Stdin(raw))
        return afina_here(*arguments)

    return run_with


def test_predictions_from_stdin(fitted, afina_here: Run, pipe: Run) -> None:
    """`-` is the table that a file of the same bytes is."""
    cars = fitted.folder / "cars.csv"
    for arguments in (["predict", "a run"], ["evaluate", "a run"], ["inspect"]):
        plain = afina_here(*arguments, "cars.csv")
        piped = pipe(cars, *arguments, "-")
        assert (plain.returncode, piped.returncode) == (0, 0)
        assert piped.stdout == plain.stdout.replace("cars.csv", "stdin")
        assert piped.stderr == plain.stderr.replace("cars.csv", "stdin")


def test_the_table_in_json(fitted, pipe: Run) -> None:
    """JSON names stdin."""
    done = pipe(fitted.folder / "cars.csv", "evaluate", "a run", "-", "--json")

    assert json.loads(done.stdout)["table"] == "stdin"


def test_a_fit_from_stdin(fitted, pipe: Run) -> None:
    """A fit is that of a file; its hash is written, and resuming is refused by name."""
    cars = fitted.folder / "cars.csv"
    settings = ["--set", "train.max_epochs=30", "--set", "train.lr=0.01"]
    done = pipe(cars, "fit", "-", "--target", "class", "--out", "piped", *settings)
    assert (done.returncode, done.stdout) == (0, "piped\n"), done.stderr
    records = [
        json.loads((fitted.folder / name / "run.json").read_text())["table"]
        for name in ("a run", "piped")
    ]

    assert done.stderr.startswith("stdin: 160 rows, 4 columns\n")
    assert "afina resume" not in done.stderr
    assert records[1] == {**records[0], "path": "-"}
    for name in ("model/model.safetensors", "schema.json", "metrics.jsonl"):
        ours, theirs = (fitted.folder / run / name for run in ("piped", "a run"))
        assert ours.read_bytes() == theirs.read_bytes()
    (fitted.folder / "piped" / "summary.json").unlink()
    resumed = pipe(cars, "resume", "piped")
    assert resumed.returncode == 3
    assert "came from stdin, which cannot be read again. Save the table as a file" in resumed.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "-"], "The columns of stdin are: size, color, note, class."),
        (["fit", "-", "--target", "class", "--val", "-"], "both the table and the validation rows"),
        (["fit", "-", "--target", "clas"], "stdin: the target column must be in the table"),
        (["predict", "-", "cars.csv"], "A model must be a run folder"),
    ],
)
def test_what_cannot_work_is_refused(
    cars: Path, pipe: Run, arguments: list[str], words: str
) -> None:
    """Mistakes with stdin are named."""
    done = pipe(cars, *arguments)

    assert done.returncode in (2, 3, 4)
    assert words in done.stderr
    assert not (cars.parent / "runs").exists()


def test_validation_rows_from_stdin(fitted, pipe: Run) -> None:
    """The table may be a file and the validation rows come from stdin."""
    cars = fitted.folder / "cars.csv"
    few = ["--set", "train.max_epochs=2", "-q"]
    arguments = ["fit", "cars.csv", "--target", "class", "--val", "-", "--out", "piped", *few]
    done = pipe(cars, *arguments)
    record = json.loads((fitted.folder / "piped" / "run.json").read_text())

    assert (done.returncode, done.stderr.count("error")) == (0, 0)
    assert record["val"]["path"] == "-"
    assert record["table"]["path"].endswith("cars.csv")


@pytest.mark.parametrize("data", [b"", b"a,b\n"])
def test_an_empty_stdin(fitted, pipe: Run, data: bytes) -> None:
    """Without rows there is an error about stdin, and nothing on stdout."""
    done = pipe(data, "predict", "a run", "-")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: stdin: a table must have")


@pytest.mark.slow
def test_a_real_pipe(fitted) -> None:
    """In a shell, a pipe and a closed stdin."""
    program = [sys.executable, "-m", "afina", "predict", str(fitted.folder / "a run"), "-"]
    data = (fitted.folder / "cars.csv").read_bytes()
    done = run([*program, "--keep", "color"], input=data, capture_output=True, check=True)
    assert done.stdout.startswith(b"color,prediction,probability_01,")
    assert done.stdout.count(b"\n") == data.count(b"\n")
    words = " ".join(map(shlex.quote, program))
    closed = run(["bash", "-c", f"{words} <&-"], capture_output=True, check=False)
    assert closed.returncode == 3
    assert b"stdin: a table must have a first line" in closed.stderr
