"""afina fit."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Tree = Callable[[Path], dict[str, bytes]]


def test_stdout_is_the_run_folder(fitted) -> None:
    """The only line on stdout is the run folder's path."""
    assert fitted.done.stdout == "a run\n"


def test_stderr_tells_the_whole_story(fitted) -> None:
    """What was learned from what, how it went, the score beside the baseline, why it stopped."""
    text = fitted.done.stderr

    assert text.isprintable() or "\x1b" not in text
    for words in [
        "cars.csv: 160 rows, 4 columns\n",
        "target: class (binary)\n",
        "  size    numeric      ",
        "  color   categorical  ",
        "  note    ignored      ",
        "1 left out\n",
        "run folder: a run\n",
        "epoch 1, loss ",
        "Stopped after epoch ",
        "Validation accuracy ",
        " for the baseline (always '0",
        "report: a run/report.html\n",
    ]:
        assert words in text, words
    assert text.count("\nepoch ") <= 20


def test_the_next_commands_run(fitted, afina: Run, tmp_path: Path) -> None:
    """Each command that is shown at the end runs, once a table is named; none resumes or repeats."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = fitted.done.stderr.partition("\nnext:\n")[2].splitlines()

    assert [line.split()[1] for line in commands] == ["predict", "evaluate"]
    assert "cars.csv" not in "".join(commands)
    (tmp_path / "NEW.csv").write_text((tmp_path / "cars.csv").read_text())
    for command in commands:
        run = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
    assert (tmp_path / "predictions.csv").read_text().count("\n") == 161


def test_quiet_json(cars: Path, afina_here: Run) -> None:
    """With -q --json, stderr is empty and stdout is one object with the summary."""
    run = afina_here(
        "fit",
        cars,
        "--target",
        "class",
        "--json",
        "-q",
        "--set",
        "train.max_epochs=1",
        "--out",
        "r",
    )

    assert (0, "") == (run.returncode, run.stderr)
    found = json.loads(run.stdout)
    assert (1, "r", "class") == (found["schema_version"], found["run"], found["summary"]["target"])
    assert 0 <= found["summary"]["score"]["baseline"] <= 1


def test_a_run_is_not_replaced_unasked(fitted, afina_here: Run, tree: Tree) -> None:
    """A folder that is taken is refused with exit code 5, and not one byte in it changes."""
    before = tree(fitted.folder)

    run = afina_here("fit", "cars.csv", "--target", "class", "--out", "a run")

    assert (5, "") == (run.returncode, run.stdout)
    assert "a run" in run.stderr
    assert before == tree(fitted.folder)


def test_overwrite_replaces_a_run(fitted, afina: Run) -> None:
    """Asked to, a new run takes the old one's place; nothing else is left beside it."""
    summary = fitted.folder / "a run" / "summary.json"
    before = summary.read_bytes()
    settings = ["--set", "train.max_epochs=1", "--overwrite"]

    run = afina("fit", "cars.csv", "--target", "class", "--out", "a run", *settings)

    assert (0, "a run\n") == (run.returncode, run.stdout)
    assert before != summary.read_bytes()
    assert {"a run", "cars.csv"} == {path.name for path in fitted.folder.iterdir()}


def test_a_failed_overwrite_changes_nothing(fitted, afina_here: Run, tree: Tree) -> None:
    """A fit that fails leaves the run that it was to replace as it was."""
    before = tree(fitted.folder)

    run = afina_here("fit", "cars.csv", "--target", "clas", "--out", "a run", "--overwrite")

    assert run.returncode == 3
    assert "Did you mean 'class'?" in run.stderr
    assert before == tree(fitted.folder)


def test_no_target(cars: Path, afina_here: Run, tmp_path: Path) -> None:
    """Without --target the columns are listed, and nothing is made."""
    run = afina_here("fit", cars)

    assert (2, "") == (run.returncode, run.stdout)
    assert run.stderr.endswith("are: size, color, note, class.\n")
    assert [cars] == list(tmp_path.iterdir())


def test_verbose_and_colors(cars: Path, afina: Run) -> None:
    """-v shows the settings and a line an epoch; FORCE_COLOR colors, but moves no cursor."""
    settings = ["--set", "train.max_epochs=4", "-v"]
    run = afina("fit", cars, "--target", "class", *settings, FORCE_COLOR="1", TERM="xterm")

    assert run.returncode == 0
    assert "max_epochs = 4" in run.stderr
    for epoch in range(1, 5):
        assert f"epoch {epoch}, loss " in run.stderr
    assert "\x1b[1m" in run.stderr
    assert not re.search(r"\x1b\[[^m]*[A-LN-Za-ln-z]", run.stderr)
    assert run.stdout.isprintable() or run.stdout.count("\n") == 1


def run_in_terminal(arguments: list[str], folder: Path, *, stop_at: str) -> tuple[int, str]:
    """Run `afina` in a terminal, and press Ctrl-C when a text appears.

    Returns:
        The exit code, and what the terminal showed.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ["TERM"] = "xterm"
        os.environ.pop("NO_COLOR", None)
        os.execv(  # noqa: S606 - it is our own command line
            sys.executable, [sys.executable, "-m", "afina", *arguments]
        )
    shown, pressed = b"", False
    while True:
        ready, _, _ = select.select([terminal], [], [], 100)
        try:
            part = os.read(terminal, 65536) if ready else b""
        except OSError:  # the program ended
            part = b""
        if not part:
            break
        shown += part
        if not pressed and stop_at.encode() in shown:
            os.write(terminal, b"\x03")
            pressed = True
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode()


# Forking a process with threads is what pytest's own fork does too; the child only executes.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_ctrl_c_in_a_terminal(cars: Path, afina: Run, tmp_path: Path) -> None:
    """On a terminal a line shows the progress; Ctrl-C saves, says how to go on, and that works."""
    arguments = ["fit", str(cars), "--target", "class", "--out", "r"]
    slow = [
        "--set",
        "stop.patience=none",
        "--set",
        "train.max_epochs=1000000",
    ]  # it does not end by itself

    code, shown = run_in_terminal([*arguments, *slow], tmp_path, stop_at="best ")

    assert code == 128 + signal.SIGINT
    assert "epoch " in shown
    assert "\x1b[2K" in shown
    assert shown.rstrip().endswith("afina resume r")
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1  # the cursor is back

    config = tmp_path / "r" / "config.toml"
    assert "max_epochs = 1000000" in config.read_text()
    run = afina("predict", "r", cars)
    assert run.returncode == 4
    assert "afina resume r" in run.stderr


def test_a_monitor_that_cannot_be(afina_here: Run, tmp_path: Path) -> None:
    """A score of another task is refused by name, also where nothing is held out."""
    (tmp_path / "few.csv").write_text("x,y\n" + "".join(f"{i},{i / 7}\n" for i in range(12)))

    run = afina_here("fit", "few.csv", "--target", "y", "--set", "stop.monitor=val/accuracy")

    assert (2, "") == (run.returncode, run.stdout)
    assert "stop.monitor must be one of val/loss, val/rmse" in run.stderr
    assert ["few.csv"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--metric", "rmse"], 2, "metric must be one of accuracy, .* for a target of classes"),
        (["--metric", "roc-auc"], 2, "Did you mean 'auc'"),
        (["--metric", "acuracy"], 2, "Did you mean 'accuracy'"),
        (["--metric", "auc", "--set", "stop.monitor=val/brier"], 2, "Only one of stop.metric and"),
        (["--task", "regressoin"], 2, "Did you mean 'regression'"),
        (["--task", "multiclass"], 3, "three classes or more .* Use `--task binary`"),
        (["--target", "size"], 2, "one column.*got 'class', 'size'.*--kind size=ignored"),
        (["--class-weight", "01"], 2, "must be LABEL=WEIGHT, or balanced; got '01'"),
        (["--class-weight", "balance"], 2, "Did you mean 'balanced'"),
        (["--class-weight", "01=x"], 2, "must be LABEL=WEIGHT"),
        (["--class-weight", "01=1", "--class-weight", "01=2"], 2, "'01' has two weights"),
        (["--class-weight", "01=1"], 2, "it has none for '02'"),
        (["--class-weight", "01=1,02=3"], 2, "Repeat --class-weight for each label"),
        (["--class-weight", "01=-1"], 2, "table.class_weight.01 must be a number, above 0"),
    ],
)
def test_mistakes_in_task_metric_and_class_weight(
    cars: Path, afina_here: Run, options: list[str], code: int, says: str
) -> None:
    """What does not fit is refused by name, with what would."""
    run = afina_here("fit", cars, "--target", "class", "--out", "r", *options)

    assert (run.returncode, run.stdout) == (code, "")
    assert re.search(says, run.stderr)


def test_a_target_of_two_names_is_not_there(cars: Path, afina_here: Run) -> None:
    """Names joined by a comma are no column; a model predicts one target."""
    run = afina_here("fit", cars, "--target", "class,size")

    assert run.returncode == 3
    assert "A model predicts one target: fit one for each column." in run.stderr


def test_a_metric_leads(cars: Path, afina_here: Run) -> None:
    """The metric decides when to stop, and comes first in every result."""
    quick = ["--set", "train.max_epochs=2", "--out", "r"]
    weights = ["--class-weight", "01=1", "--class-weight", "02=3"]
    run = afina_here("fit", cars, "--target", "class", "--metric", "f1", *weights, *quick, "--json")
    summary = json.loads(run.stdout)["summary"]
    evaluation = json.loads(afina_here("evaluate", "r", cars, "--json").stdout)

    assert summary["stop"]["monitor"] == "val/f1"
    assert summary["score"]["name"] == next(iter(summary["scores"])) == "f1"
    assert evaluation["score"] == next(iter(evaluation["scores"])) == "f1"
    assert "Validation f1 0." in run.stderr
    assert "note: f1 is computed for class '02'" in run.stderr
    assert "note: classes are weighted (01: 1, 02: 3)" in run.stderr
    assert ", validation f1 0." in run.stderr


def test_a_number_on_request(cars: Path, afina_here: Run) -> None:
    """The task can be said in one word: labels that are numbers are predicted as such."""
    run = afina_here("inspect", cars, "--target", "class", "--task", "regression")

    assert "note: the target is regression: numbers" in run.stdout


def test_too_little_time_is_told_loudly(cars: Path, afina_here: Run) -> None:
    """A limit that is over before training gives the baseline, and a warning after the score."""
    run = afina_here("fit", cars, "--target", "class", "--time-limit", "0.01", "--out", "r")

    assert run.returncode == 0
    assert "\nwarning: The time limit of 0.01 s ran out before training began" in run.stderr
    assert "are kept" not in run.stderr
