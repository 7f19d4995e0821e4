"""The command line under torchrun: one run, told once, resumable when a process is killed."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from afina.storage import load_tensors

SETTINGS = [
    "--set", "model.d_block=16", "--set", "train.max_epochs=6", "--set", "train.batch_size=16",
    "--set", "checkpoint.every_steps=3", "--set", "model.dropout=0",
    "--set", "preprocess.unknown_rate=0",
]  # fmt: skip
FIT = ["fit", "loans.csv", "--target", "grade", *SETTINGS]
# The command line; the second process gets SIGKILL at a step.
PROGRAM = """
import os, signal, sys
from afina.cli import run_command_line
from afina.train import loop

last, event = int(sys.argv[1]), loop.StepEvent

def take(*args):
    if args[0] == last and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return event(*args)

loop.StepEvent = take
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's would cut off what the other one says
sys.exit(run_command_line(sys.argv[2:]))
"""

pytestmark = pytest.mark.slow


def launch(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run something in two processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*torchrun, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def digest(run: Path) -> dict[str, str]:
    names = ("model/model.safetensors", "metrics.jsonl", "schema.json", "split.json")
    return {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in names}


def largest_difference(run: Path, other: Path) -> float:
    """Compare two models' tensors."""
    files = [folder / "model" / "model.safetensors" for folder in (run, other)]
    one, two = (load_tensors(file.read_bytes(), source=str(file)) for file in files)
    assert one.keys() == two.keys()
    return max(
        float((one[k].double() - two[k].double()).abs().max()) for k in one if one[k].numel()
    )


def test_two_processes_are_one_run(afina, loans, tmp_path):
    """The model is one process's but for rounding; a kill of one leaves a run that goes on.

    Resumed in two processes it ends in the same bytes; in one, with a note that says so.
    """
    alone = afina("fit", loans, "--target", "grade", "--out", "alone", last=SETTINGS)
    assert alone.code == 0, alone.err
    # What rounding alone comes to here, after steps that divide by small gradients: the same rows
    # in one process, added up in other parts. Seen: 1e-7, as between processes.
    parts = [*SETTINGS, "--set", "train.microbatch_size=5"]
    assert afina("fit", loans, "--target", "grade", "--out", "parts", last=parts).code == 0
    rounding = max(1e-7, largest_difference(tmp_path / "parts", tmp_path / "alone"))
    assert rounding < 1e-4
    whole = launch(tmp_path, "-m", "afina", *FIT, "--out", "whole")

    assert whole.returncode == 0, whole.stderr
    assert whole.stdout == "whole\n"
    for line in ("target: grade", "run folder: whole", "Stopped after epoch 6"):
        assert line in whole.stderr
    assert whole.stderr.count("target: grade") == 1
    assert largest_difference(tmp_path / "whole", tmp_path / "alone") < 10 * rounding
    assert (tmp_path / "whole" / "report.html").exists()

    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    killed = launch(tmp_path, program, 17, *FIT, "--out", "run")
    shutil.copytree(tmp_path / "run", tmp_path / "later alone")
    resumed = launch(tmp_path, "-m", "afina", "resume", "run")
    later = afina("resume", "later alone")

    assert killed.returncode != 0
    assert "Signal 9" in killed.stderr or f"{-signal.SIGKILL}" in killed.stderr
    assert "another process of the run has ended or does not respond" in killed.stderr
    assert "Continue with: afina resume run" in killed.stderr
    assert resumed.returncode == 0, resumed.stderr
    assert digest(tmp_path / "run") == digest(tmp_path / "whole")
    assert later.code == 0, later.err
    assert "n_processes was 2 and is now 1" in later.err
    assert largest_difference(tmp_path / "later alone", tmp_path / "whole") < 100 * rounding


def test_a_mistake_is_told_once(loans, tmp_path):
    """A column that is not there is named by the first process alone, and nothing is written."""
    done = launch(tmp_path, "-m", "afina", "fit", loans, "--target", "grdae")

    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1
    assert "grade" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "runs").exists()
