"""What holds for every command."""

import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest

import afina as package

Run = Callable[..., "subprocess.CompletedProcess[str]"]
COMMANDS = ["fit", "predict", "evaluate", "inspect", "report", "resume"]


def test_version(afina: Run) -> None:
    """--version prints the version to stdout."""
    run = afina("--version")

    assert (0, f"afina {package.__version__}\n", "") == (run.returncode, run.stdout, run.stderr)


def test_the_installed_program(tmp_path: pathlib.Path) -> None:
    """The program `afina` is installed and is the same as `python -m afina`."""
    program = pathlib.Path(sys.executable).with_name("afina")

    run = subprocess.run(
        [program, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert run.stdout == f"afina {package.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help(afina: Run, arguments: list[str]) -> None:
    """Help goes to stdout and names every command."""
    run = afina(*arguments)

    assert run.returncode == 0
    assert run.stderr == ""
    for command in COMMANDS:
        assert f"\n  {command} " in run.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands(afina: Run, command: str) -> None:
    """Each command has help, with a whole sentence to begin with."""
    run = afina(command, "--help")

    assert run.returncode == 0
    assert run.stderr == ""
    assert run.stdout.startswith(f"Usage: afina {command} ")
    assert run.stdout.splitlines()[2].endswith(".")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ft"], "No such command 'ft'. Did you mean 'fit'? See `afina --help`."),
        (["--nonsense"], "No such option: --nonsense. See `afina --help`."),
        (["fit", "x.csv", "--tagret", "y"], "No such option: --tagret (Possible options: --"),
        (["fit", "--seed", "many"], "Invalid value for '--seed'"),
        (["fit", "--seed", "-1"], "train.seed must be a whole number, at least 0"),
        (["fit", "a.csv", "b.csv"], "unexpected extra argument"),
        (["fit", "--set", "lr=1"], "Did you mean train.lr?"),
        (["fit", "--set", "train.learning_rate=1"], "Did you mean train.lr?"),
        (["fit", "--config", "absent.toml"], "there is no absent.toml"),
        (["fit", "--set", "train.batch_size=4", "--set", "train.microbatch_size=8"], "Use 4 or l"),
        (["fit", "--kind", "a"], "--kind must have the form COL=KIND; got 'a'."),
        (["fit", "--kind", "a=number"], "table.kinds.a must be one of"),
        (["fit", "--val", "a.csv", "--group", "b"], "--val and --group are given"),
        (["fit", "--group", "a", "--time", "b"], "--group and --time are given"),
        (["fit", "--val", "a.csv", "--val-frac", "0.1"], "--val and --val-frac are given"),
        (["fit", "-q", "-v"], "Only one of -q and -v"),
        (["predict"], "Missing argument 'MODEL'. See `afina predict --help`."),
        (["predict", "m", "t.csv", "--out", "p.xlsx"], "--out must end in one of .csv, "),
        (["resume"], "Missing argument 'RUN'"),
    ],
)
def test_mistakes(afina: Run, arguments: list[str], message: str) -> None:
    """A mistake on the command line is one line on stderr, with exit code 2."""
    run = afina(*arguments)

    assert (2, "") == (run.returncode, run.stdout)
    assert run.stderr.startswith("error: ")
    assert message in run.stderr
    assert run.stderr.count("\n") == 1


def test_mistakes_leave_nothing(afina: Run, tmp_path: pathlib.Path) -> None:
    """A mistake makes no file and no folder."""
    afina("fit", "--set", "train.lr=0")

    assert [] == list(tmp_path.iterdir())


def test_debug_shows_where(afina: Run) -> None:
    """--debug adds the traceback, above the same message."""
    run = afina("fit", "--set", "train.lr=0", "--debug")

    assert run.returncode == 2
    assert "Traceback" in run.stderr
    assert run.stderr.splitlines()[-1].startswith("error: train.lr must be")


@pytest.mark.parametrize("value", ["--debug", "-q"])
def test_a_value_is_no_switch(afina: Run, value: str) -> None:
    """A value that reads like a switch, such as a target's name, switches nothing."""
    run = afina("fit", "--target", value, "--set", "train.lr=0")

    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert run.stderr.startswith("error: train.lr must be")


def test_debug_shows_where_a_value_is_wrong(afina: Run) -> None:
    """--debug holds for a mistake in an option before it, too."""
    run = afina("fit", "--seed", "many", "--debug")

    assert run.returncode == 2
    assert "Traceback" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["fit", "absent.csv", "--target", "y"], 3),
        (["inspect", "absent.csv"], 3),
        (["predict", "absent", "absent.csv"], 4),
        (["evaluate", "absent", "absent.csv"], 4),
        (["report", "absent"], 4),
        (["resume", "absent"], 4),
    ],
)
def test_missing_files(afina: Run, arguments: list[str], code: int) -> None:
    """A file that is not there is named, and the exit code says what kind of file it was."""
    run = afina(*arguments)

    assert (code, "") == (run.returncode, run.stdout)
    assert "absent" in run.stderr
    assert run.stderr.startswith("error: ")
    assert run.stderr.count("\n") == 1
