"""Bad input gets one clear error, a stable exit code, and nothing is lost or left behind."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from afina.storage import lock_folder

N_ROWS = 60


@dataclass(frozen=True)
class Case:
    """A table and arguments, and what must come of a fit.

    Args:
        content: the file; None: there is none.
        code: the exit code; 0: it must train, and predict finite numbers.
        words: what the message must name.
    """

    name: str
    content: bytes | Callable[[Path], None] | None
    code: int
    words: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    target: str = "y"
    suffix: str = ".csv"
    kinds: dict[str, str] = field(default_factory=dict)


def table(
    n_rows: int = N_ROWS, *, end: str = "\n", encoding: str = "utf-8", **columns: object
) -> bytes:
    """Write a CSV with a number `x`, a target `y`, and columns of your own."""
    rng = np.random.default_rng(0)
    cells = {
        "x": [f"{value:.3f}" for value in rng.normal(size=n_rows)],
        "y": ["yes" if i % 3 else "no" for i in range(n_rows)],
    }
    for name, given in columns.items():
        cells[name] = [str(given(i)) if callable(given) else str(given) for i in range(n_rows)]
    lines = [",".join(cells), *(",".join(row) for row in zip(*cells.values(), strict=True))]
    return (end.join(lines) + end).encode(encoding)


def changed(data: bytes, line: int, text: bytes) -> bytes:
    """Put another line (counted from 1) into a CSV."""
    lines = data.split(b"\n")
    lines[line - 1] = text
    return b"\n".join(lines)


def wide(path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {f"c{i}": rng.normal(size=N_ROWS) for i in range(3000)}
    pa.parquet.write_table(pa.table({**columns, "y": rng.normal(size=N_ROWS)}), path)


GOOD = table()
NUMBER = {"y": lambda i: i * 1.5}
BAD = [
    Case("no file", None, 3, ("must exist",)),
    Case("not a table", b"\x89PNG\r\n\x1a\n\x00\x00", 3, ("NUL",)),
    Case("not a table, by its name", GOOD, 3, (".xlsx", ".parquet"), suffix=".xlsx"),
    Case("empty", b"", 3, ("first line with column names",)),
    Case("header only", b"x,y\n", 3, ("rows",)),
    Case("one row", b"x,y\n1,2\n", 3, ("y",)),
    Case("no such target", GOOD, 3, ("Did you mean 'y'",), target="Y"),
    Case("constant target", table(y=lambda i: "a"), 3, ("'a'", "two classes")),
    Case("constant number as target", table(y=lambda i: "2.5"), 3, ("2.5", "vary")),
    Case("target all missing", table(y=lambda i: ""), 3, ("every cell is missing",)),
    Case("a class of one row", changed(GOOD, 9, b"0.1,maybe"), 3, ("row 8", "'maybe'")),
    Case("infinite target", changed(table(**NUMBER), 9, b"0.1,inf"), 3, ("row 8", "finite")),
    Case("words in a target of numbers", changed(table(**NUMBER), 9, b"0.1,abc"), 3, ("row 8", "'abc'")),
    Case("only constant columns", table(x=lambda i: 1), 3, ("column to learn from", "'x'")),
    Case("only a missing column", table(x=lambda i: ""), 3, ("column to learn from", "missing")),
    Case("nothing but the target", b"y\n" + b"a\nb\n" * 30, 3, ("column to learn from",)),
    Case("duplicate names", GOOD.replace(b"x,y", b"y,y"), 3, ("'y'", "more than once")),
    Case("infinity", changed(GOOD, 9, b"inf,no"), 3, ("row 8", "'x'", "finite")),
    Case("ragged", changed(GOOD, 9, b"0.1"), 3, ("line 9",)),
    Case("unclosed quote", changed(GOOD, 9, b'"0.1,no'), 3, ("line 9", "quote")),
    Case("NUL byte", changed(GOOD, 9, b"0.1\x00,no"), 3, ("line 9", "NUL")),
    Case("Latin-1", changed(GOOD, 9, "0.1,é".encode("latin-1")), 3, ("line 9", "latin-1")),
    Case("garbage as Parquet", b"PAR1 no", 3, ("Parquet",), suffix=".parquet"),
    Case("unknown setting", GOOD, 2, ("dropuot", "dropout"), ("--set", "model.dropuot=0.1")),
    Case("unknown section", GOOD, 2, ("modle", "model"), ("--set", "modle.dropout=0.1")),
    Case("wrong value", GOOD, 2, ("train.lr",), ("--set", "train.lr=-1")),
    Case(
        "micro-batch above batch", GOOD, 2, ("microbatch_size=64", "batch_size=32"),
        ("--set", "train.microbatch_size=64", "--set", "train.batch_size=32"),
    ),
    Case("unknown monitor", GOOD, 2, ("val/r2", "val/auc"), ("--set", "stop.monitor=val/r2")),
    Case("no such kind", GOOD, 2, ("number", "numeric"), ("--kind", "x=number")),
    Case("kind of no column", GOOD, 3, ("'xx'",), ("--kind", "xx=numeric")),
    Case("kind that cannot be", table(w=lambda i: "ab"[i % 2]), 3, ("'w'",), ("--kind", "w=numeric")),
    Case("no such group", GOOD, 3, ("group column", "'g'"), ("--group", "g")),
    Case("no such validation file", GOOD, 3, ("none.csv",), ("--val", "none.csv")),
    Case("two ways to split", GOOD, 2, ("--group", "--time"), ("--group", "x", "--time", "x")),
    Case("time of words", table(w=lambda i: "ab"[i % 2]), 3, ("'w'", "row 1"), ("--time", "w")),
    Case("negative weight", table(w=lambda i: i - 9), 3, ("row 1", "'w'"), ("--weight", "w")),
    Case(
        "a loss that is not finite", table(**NUMBER), 1, ("finite",),
        ("--set", "train.lr=1e38", "--set", "train.max_grad_norm=none", "--set", "model.activation=relu"),
    ),
    Case("a folder that cannot be", GOOD, 5, ("writable",), ("--out", "table.csv/run")),
]  # fmt: skip
WELL = [
    Case("a column all missing", table(w=""), 0, kinds={"w": "ignored"}),
    Case("constant columns", table(w=1, v="a"), 0, kinds={"w": "ignored", "v": "ignored"}),
    Case("a large whole number", table(w=lambda i: 2**53 + 1 + i * 7 % 31), 0, kinds={"w": "numeric"}),
    Case("leading zeros", table(w=lambda i: f"0{i % 5}234"), 0, kinds={"w": "categorical"}),
    Case("NA is a value", table(w=lambda i: ("NA", "DE", "FR")[i % 3]), 0, kinds={"w": "categorical"}),
    Case("mixed types late", table(200, w=lambda i: i / 7 if i < 199 else "abc"), 0, kinds={"w": "numeric"}),
    Case(
        "dates in two formats",
        table(w=lambda i: f"2024-01-{i % 9 + 10}" if i % 2 else f"{i % 9 + 10}.01.2024"), 0,
        kinds={"w": "categorical"},
    ),
    Case("decimal commas", table(w=lambda i: f'"{i % 7},5 €"'), 0, kinds={"w": "numeric"}),
    Case("nanoseconds", table(w=lambda i: 1_760_000_000_000_000_000 + i * 13 % 50), 0, kinds={"w": "numeric"}),
    Case("CR only", table(end="\r"), 0),
    Case("UTF-16", table(encoding="utf-16"), 0),
    Case("a byte-order mark", b"\xef\xbb\xbf" + GOOD, 0, kinds={"x": "numeric"}),
    Case("Latin-1 as said", changed(GOOD, 1, "é,y".encode("latin-1")), 0,
         arguments=("--set", "table.encoding=latin-1"), kinds={"é": "numeric"}),
    Case("huge numbers", table(w=lambda i: f"{i + 1}e300"), 0, kinds={"w": "numeric"}),
    Case("a huge target", table(y=lambda i: f"{i + 1}e300"), 0),
    Case("a tiny target", table(y=lambda i: f"{i + 1}e-300"), 0),
    Case("few rows", table(12), 0),
    Case("thousands of columns", wide, 0, suffix=".parquet"),
    Case(
        "tens of thousands of categories", table(44_000, w=lambda i: f"c{i % 22_000}"), 0,
        arguments=("--set", "train.max_epochs=1", "--set", "train.batch_size=4096"),
        kinds={"w": "categorical"},
    ),
]  # fmt: skip


def put(case: Case, folder: Path) -> Path:
    path = folder / f"table{case.suffix}"
    if isinstance(case.content, bytes):
        path.write_bytes(case.content)
    elif case.content is not None:
        case.content(path)
    return path


def one_message(err: str) -> str:
    """Make sure that stderr holds one error and no traceback; give it."""
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, err
    assert "Traceback" not in err
    assert "internal error" not in err
    return errors[0]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_a_fit_that_cannot_be(afina, tmp_path, case):
    """One message with what, where and what to do; the code; no folder, no output."""
    path = put(case, tmp_path)
    before = {item: item.read_bytes() for item in tmp_path.iterdir()}
    done = afina("fit", path, "--target", case.target, quick=True, last=case.arguments)
    message = one_message(done.err)

    assert done.code == case.code, done.err
    assert done.out == ""
    for word in case.words:
        assert word in message
    assert {item: item.read_bytes() for item in tmp_path.iterdir()} == before


@pytest.mark.parametrize("case", WELL, ids=lambda case: case.name)
def test_an_odd_table_that_can_be(afina, tmp_path, case):
    """An odd table trains, says what each column was taken as, and predicts finite numbers."""
    path = put(case, tmp_path)
    done = afina(
        "fit", path, "--target", case.target, "--out", "run", quick=True, last=case.arguments
    )
    assert done.code == 0, done.err
    schema = json.loads(Path("run/schema.json").read_text())
    kinds = {column["name"]: column["kind"] for column in schema["columns"]}

    assert case.kinds == {name: kinds[name] for name in case.kinds}
    told = afina("predict", "run", path)
    assert told.code == 0, told.err
    assert "nan" not in told.out.lower().replace("nan,", "")
    assert len(told.out.splitlines()) > 10


@pytest.fixture
def run(afina, loans) -> Path:
    """Return a finished run on `loans.csv`."""
    done = afina("fit", loans, "--target", "grade", "--out", "run", quick=True)
    assert done.code == 0, done.err
    return Path("run")


def predict_cells(afina, run: Path, **columns: str):
    rows = {"income": "2000", "job": "cook", "since": "2021-01-01", "zip": "00001", **columns}
    rows = {name: cell for name, cell in rows.items() if cell is not None}
    Path("new.csv").write_text(",".join(rows) + "\n" + (",".join(rows.values()) + "\n") * 3)
    return afina("predict", run, "new.csv")


def test_columns_in_another_order(afina, run):
    """Columns are found by name: their order does not matter."""
    rows = ["zip,job,income,since", "00001,cook,2000,2021-01-01"]
    Path("turned.csv").write_text("\n".join(rows) + "\n")
    turned = afina("predict", run, "turned.csv").out.splitlines()[1].split(",")
    plain = predict_cells(afina, run).out.splitlines()[1].split(",")

    assert turned[0] == plain[0]
    assert [float(x) for x in turned[1:]] == pytest.approx([float(x) for x in plain[1:]], abs=1e-12)


def test_an_extra_column_is_noted(afina, run):
    """A column that the model does not know is named in a note, and changes nothing."""
    done = predict_cells(afina, run, shoe="42")

    assert done.code == 0
    assert "note: " in done.err
    assert "'shoe'" in done.err
    assert done.out == predict_cells(afina, run).out


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"income": None}, ("'income'",)),
        ({"income": "much"}, ("new.csv", "'income'", "row 1", "'much'")),
        ({"since": "then"}, ("new.csv", "'since'", "row 1", "'then'")),
        ({"income": "inf"}, ("new.csv", "'income'", "row 1")),
    ],
)
def test_a_table_that_does_not_fit(afina, run, columns, words):
    """A missing column, another type, an infinity: an error with file, row and column."""
    done = predict_cells(afina, run, **columns)

    assert (done.code, done.out) == (3, "")
    for word in words:
        assert word in one_message(done.err)


@pytest.mark.parametrize(
    "columns",
    [
        {"job": "astronaut"}, {"zip": "99999"}, {"job": "", "income": "", "since": "", "zip": ""},
        {"income": "1e308"}, {"income": "-1e308"}, {"since": "9999-12-31"}, {"since": "0001-01-01"},
    ],
)  # fmt: skip
def test_what_was_never_seen(afina, run, columns):
    """Unseen categories, missing cells and extremes get finite probabilities."""
    done = predict_cells(afina, run, **columns)
    rows = [line.split(",") for line in done.out.splitlines()[1:]]

    assert done.code == 0, done.err
    assert len(rows) == 3
    assert all(0 <= float(cell) <= 1 for row in rows for cell in row[1:])


def test_a_damaged_model(afina, run, loans):
    """A model with a flipped bit is refused with code 4, and the file is named."""
    path = run / "model" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = afina("predict", run, loans, "--out", "p.csv")

    assert done.code == 4
    assert "model.safetensors" in one_message(done.err)
    assert not Path("p.csv").exists()


@pytest.mark.parametrize("command", ["predict", "evaluate", "resume", "report"])
def test_what_is_no_run(afina, loans, tmp_path, command):
    """A folder that is no run, and a path that is not there, are refused with code 4."""
    (tmp_path / "empty").mkdir()
    for place in ("empty", "none"):
        rest = [loans] if command in ("predict", "evaluate") else []
        done = afina(command, place, *rest)

        assert done.code == 4, done.err
        assert place in one_message(done.err)
    assert not any((tmp_path / "empty").iterdir())


def test_a_run_in_use(afina, run, loans):
    """A run that another process is writing is neither resumed nor overwritten: code 6."""
    shutil.rmtree(run / "model")
    with lock_folder(run):
        resumed = afina("resume", run)
        replaced = afina("fit", loans, "--target", "grade", "--out", run, "--overwrite", quick=True)

    for done in (resumed, replaced):
        assert done.code == 6
        assert "in use" in one_message(done.err)


def test_every_checkpoint_damaged(afina, run):
    """With no whole checkpoint left, resume is refused by name with code 4."""
    shutil.rmtree(run / "model")
    (run / "summary.json").unlink()
    for path in (run / "checkpoints").glob("*/state.json"):
        path.write_text("{}")
    done = afina("resume", run)

    assert done.code == 4
    assert "state.json" in one_message(done.err)


def test_a_full_disk(afina, loans, tmp_path, monkeypatch):
    """With no space left, the code is 5, the message names the path, and nothing is left."""
    from afina.storage import commit

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(commit, "_write_new", full)
    done = afina("fit", loans, "--target", "grade", "--out", "run", quick=True)

    assert done.code == 5
    assert "No space left" in one_message(done.err)
    assert [path.name for path in tmp_path.iterdir()] == ["loans.csv"]


def test_a_full_disk_while_training(afina, loans, tmp_path, monkeypatch):
    """With no space for the model, the run stays, the message says how to go on, and it does."""
    from afina.storage import commit

    write = commit._write_new

    def full(path: Path, data: bytes) -> None:
        if path.name == "model.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(commit, "_write_new", full)
        done = afina("fit", loans, "--target", "grade", "--out", "run", quick=True)
    assert done.code == 5
    assert "afina resume run" in one_message(done.err)
    resumed = afina("resume", "run")

    assert resumed.code == 0, resumed.err
    assert afina("predict", "run", loans).code == 0


def test_debug_shows_the_traceback(afina, tmp_path):
    """With --debug, and only then, the traceback is shown."""
    shown = afina("fit", "none.csv", "--target", "y", "--debug")

    assert shown.code == 3
    assert "Traceback" in shown.err
