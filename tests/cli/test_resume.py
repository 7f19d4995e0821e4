"""afina resume."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Tree = Callable[[Path], dict[str, bytes]]


@pytest.mark.slow
def test_a_stopped_run_goes_on(cars: Path, afina: Run, tmp_path: Path) -> None:
    """SIGTERM saves and leaves with 143; `afina resume` finishes the run, to the same weights."""
    arguments = ["fit", cars, "--target", "class", "--set", "train.max_epochs=40"]
    arguments += ["--set", "stop.patience=none", "--set", "train.batch_size=8"]
    assert afina(*arguments, "--out", "whole").returncode == 0

    program = subprocess.Popen(
        [sys.executable, "-m", "afina", *map(str, arguments), "--out", "r"],
        cwd=tmp_path,
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stderr is not None
    for line in program.stderr:
        if line.startswith("epoch 1,"):
            break
    program.send_signal(signal.SIGTERM)
    out, err = program.communicate()
    assert (143, "") == (program.returncode, out)
    assert err.splitlines()[-1].startswith("stopped: ")
    assert "afina resume r" in err

    run = afina("resume", "r")

    assert (0, "r\n") == (run.returncode, run.stdout)
    assert "resuming from step " in run.stderr
    weights = [tmp_path / name / "model" / "model.safetensors" for name in ("whole", "r")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_finished_run_is_left_alone(fitted, afina_here: Run, tree: Tree) -> None:
    """Resuming a finished run says so in a note, and changes nothing."""
    before = tree(fitted.folder)

    run = afina_here("resume", "a run")

    assert (0, "a run\n") == (run.returncode, run.stdout)
    assert run.stderr.startswith("note: ")
    assert before == tree(fitted.folder)


def test_quiet(fitted, afina_here: Run) -> None:
    """With -q notes are silent too."""
    run = afina_here("resume", "a run", "-q")

    assert (0, "a run\n", "") == (run.returncode, run.stdout, run.stderr)
