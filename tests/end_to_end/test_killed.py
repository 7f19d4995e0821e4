"""A run of the command line killed at any instant, and resumed, is the uninterrupted run."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

SETTINGS = [
    "--preset", "plain", "--set", "model.d_block=16", "--set", "train.max_epochs=6", "--set", "train.batch_size=16",
    "--set", "checkpoint.every_steps=3", "--set", "model.norm=batch",
]  # fmt: skip
RICH = [
    "--set", "model.numeric_embedding=piecewise", "--set", "model.members=4",
    "--set", "model.members_differ=layers", "--set", "model.feature_scale=true",
    "--set", "model.parametric_activation=true", "--set", "experimental.scale_lr_factor=6",
    "--set", "experimental.schedule=coslog4",
]  # fmt: skip
# The command line, told to send itself a signal at a step, or while a checkpoint's file is written.
PROGRAM = """
import os, sys
from afina.cli import run_command_line
from afina.storage import commit
from afina.train import loop

signum, step, n_file = (int(text) for text in sys.argv[1:4])
event, write, n_written = loop.StepEvent, commit._write_new, 0

def take(*args):
    if step and args[0] == step:
        os.kill(os.getpid(), signum)
    return event(*args)

def write_new(path, data):
    global n_written
    if "step-" in str(path):
        n_written += 1
        if n_written == n_file:
            path.write_bytes(data[: len(data) // 2])
            os.kill(os.getpid(), signum)
    write(path, data)

loop.StepEvent, commit._write_new = take, write_new
sys.exit(run_command_line(sys.argv[4:]))
"""


def digest(run: Path) -> dict[str, str]:
    names = ("model/model.safetensors", "metrics.jsonl", "schema.json", "split.json")
    return {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in names}


def end_by_signal(
    folder: Path, signum: int, step: int, n_file: int, name: str, more: Sequence[str] = ()
) -> int:
    """Fit in a process of its own that gets a signal; give its exit code."""
    arguments = ["fit", "loans.csv", "--target", "grade", "--out", name, *SETTINGS, *more]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(signum), str(step), str(n_file), *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    return done.returncode


@pytest.mark.slow
def test_killed_at_a_step_or_in_a_checkpoint(afina, loans, tmp_path):
    """SIGKILL at steps and in the middle of a checkpoint's files: resumed, the bytes are equal."""
    done = afina("fit", loans, "--target", "grade", "--out", "whole", last=SETTINGS)
    assert done.code == 0, done.err
    wanted = digest(tmp_path / "whole")
    for step, n_file in ((4, 0), (17, 0), (0, 1), (0, 8), (0, 15)):
        name = f"run-{step}-{n_file}"
        assert end_by_signal(tmp_path, signal.SIGKILL, step, n_file, name) == -signal.SIGKILL
        resumed = afina("resume", name)

        assert resumed.code == 0, resumed.err
        assert digest(tmp_path / name) == wanted


@pytest.mark.slow
def test_killed_with_members_and_embedded_numbers(afina, loans, tmp_path):
    """SIGKILL with members, curves, factors of rates and dropout of their own: the bytes are equal."""
    settings = [*SETTINGS, *RICH]
    done = afina("fit", loans, "--target", "grade", "--out", "whole", last=settings)
    assert done.code == 0, done.err
    wanted = digest(tmp_path / "whole")
    for step, n_file in ((10, 0), (0, 8)):
        name = f"run-{step}-{n_file}"
        signum = signal.SIGKILL
        assert end_by_signal(tmp_path, signum, step, n_file, name, RICH) == -signum
        resumed = afina("resume", name)

        assert resumed.code == 0, resumed.err
        assert digest(tmp_path / name) == wanted


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop(afina, loans, tmp_path, signum, code):
    """SIGINT and SIGTERM save the state and exit with 130 and 143; resumed, the bytes are equal."""
    afina("fit", loans, "--target", "grade", "--out", "whole", last=SETTINGS)

    assert end_by_signal(tmp_path, signum, 7, 0, "run") == code
    assert afina("resume", "run").code == 0
    assert digest(tmp_path / "run") == digest(tmp_path / "whole")
