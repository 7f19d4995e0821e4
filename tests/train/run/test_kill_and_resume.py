"""A resumed run is the same run: real processes, real signals, sha256 of weights and metrics."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from afina.errors import AfinaWarning, CheckpointError, ConfigError, LockedError
from afina.storage import lock_folder
from afina.train import CheckpointPlan, StepEvent, Trainer

SCRIPT = Path(__file__).with_name("crash_runs.py")


def crash(
    folder: Path, mode: str, count: int, seed: int, variant: str = "plain", fault: str = ""
) -> list[dict]:
    """Run the killing process; give its records, the undisturbed run's first."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), variant, mode, str(count), str(seed)],
        capture_output=True,
        text=True,
        env=os.environ
        | {"AFINA_TEST_FAULT": fault, "OMP_NUM_THREADS": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def mid_run_kills(runs: list[dict]) -> int:
    """Count the kills that found a checkpoint to go on from."""
    return sum(step is not None for r in runs for step in r.get("steps", []))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "kills", "runs"),
    [
        ("plain", 120, 15),
        ("ema", 36, 5),
        ("swa", 36, 5),
        ("fp16", 24, 3),
        ("bf16", 24, 3),
        ("auto", 24, 3),
        ("window", 24, 3),
        ("recompute", 24, 3),
        ("stateful", 24, 3),
        ("shampoo", 24, 3),
        ("workers", 8, 1),
    ],
)
def test_random_kills_change_no_bit(tmp_path: Path, variant: str, kills: int, runs: int) -> None:
    """SIGKILL at random times, 368 or more in at least 47 runs: one sha256 of weights and log."""
    found = crash(tmp_path, "random", kills, seed=1, variant=variant)

    assert sum(r["kills"] for r in found) >= kills
    assert len(found) - 1 >= runs
    assert mid_run_kills(found) >= kills // 6
    assert {r["sha256"] for r in found} == {found[0]["sha256"]}


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["plain", "compile"])
def test_kills_at_random_steps_change_no_bit(tmp_path: Path, variant: str) -> None:
    """SIGKILL right after an optimizer step, whichever: the same sha256."""
    count = 12 if variant == "plain" else 3
    runs = crash(tmp_path, "step", count, seed=4, variant=variant)

    assert sum(r["kills"] for r in runs) == count
    assert {r["sha256"] for r in runs} == {runs[0]["sha256"]}


@pytest.mark.slow
def test_kills_during_validation_change_no_bit(tmp_path: Path) -> None:
    """SIGKILL while validation rows are evaluated: the same sha256."""
    runs = crash(tmp_path, "eval", 6, seed=5, variant="ema")

    assert sum(r["kills"] for r in runs) == 6
    assert {r["sha256"] for r in runs} == {runs[0]["sha256"]}


@pytest.mark.slow
def test_a_kill_at_every_file_operation_changes_no_bit(tmp_path: Path) -> None:
    """SIGKILL before and after every early file operation, checkpoint writes cut in half."""
    runs = crash(tmp_path, "syscall", 120, seed=0)

    assert sum(r["kills"] for r in runs) >= 100
    assert {r["sha256"] for r in runs} == {runs[0]["sha256"]}


@pytest.mark.slow
def test_sigterm_saves_and_leaves_with_its_code(tmp_path: Path) -> None:
    """SIGTERM at random times: the process saves, exits with 143, and resumes to the same end."""
    runs = crash(tmp_path, "term", 24, seed=2, variant="ema")

    assert mid_run_kills(runs) >= 3
    assert {r["sha256"] for r in runs} == {runs[0]["sha256"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "variant"),
    [
        ("optimizer", "plain"),
        ("optimizer", "shampoo"),
        ("order", "plain"),
        ("random", "plain"),
        ("patience", "overfit"),
        ("best", "overfit"),
        ("loss", "plain"),
        ("metrics", "plain"),
        ("average", "ema"),
        ("average", "swa"),
        ("scale", "fp16"),
        ("size", "auto"),
        ("position", "stateful"),
    ],
)
def test_seeded_faults_are_caught(tmp_path: Path, fault: str, variant: str) -> None:
    """Seeded fault: anything that a resume forgets makes another sha256."""
    runs = crash(tmp_path, "step", 4, seed=3, variant=variant, fault=fault)

    assert len({r["sha256"] for r in runs}) > 1


class CrashError(Exception):
    """Stands for a process that dies between two steps."""


def dying_at(step: int):
    def observer(event):
        if isinstance(event, StepEvent) and event.step == step:
            raise CrashError

    return observer


def settings(run: Path, **more):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 1))
    plan = CheckpointPlan(every_steps=3, every_minutes=None)
    return {
        "model": model,
        "loss": nn.MSELoss(),
        "batch_size": None,
        "max_epochs": 3,
        "run_dir": run,
        "checkpoints": plan,
    } | more


def loader(n_workers: int = 0) -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, generator=generator)
    return DataLoader(
        TensorDataset(x, x.sum(1, keepdim=True)), 8, shuffle=True, num_workers=n_workers
    )


def run_weights(trainer: Trainer) -> bytes:
    return b"".join(v.numpy().tobytes() for v in trainer.model.state_dict().values())


@pytest.mark.parametrize("step", [1, 4, 5, 6, 10, 15])
def test_shuffling_loader_goes_on_where_it_was(tmp_path: Path, step: int) -> None:
    """A shuffling DataLoader is read again up to its place, and the run ends the same."""
    whole = Trainer(**settings(tmp_path / "whole"))
    whole.fit(loader())
    with pytest.raises(CrashError):
        Trainer(**settings(tmp_path / "run", observers=[dying_at(step)])).fit(loader())
    torch.manual_seed(12345)
    again = Trainer(**settings(tmp_path / "run"))
    again.fit(loader(), resume=True)

    assert run_weights(again) == run_weights(whole)
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == (
        tmp_path / "whole/metrics.jsonl"
    ).read_bytes()


def crashed_run(tmp_path: Path, step: int = 8) -> Path:
    run = tmp_path / "run"
    with pytest.raises(CrashError):
        Trainer(**settings(run, observers=[dying_at(step)])).fit(loader())
    return run


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(tmp_path: Path) -> None:
    """One flipped bit: the newest is passed over by name, and the run ends the same."""
    whole = Trainer(**settings(tmp_path / "whole"))
    whole.fit(loader())
    run = crashed_run(tmp_path)
    newest = max((run / "checkpoints").glob("step-*"))
    data = bytearray((newest / "optimizer.safetensors").read_bytes())
    data[-5] ^= 1
    (newest / "optimizer.safetensors").write_bytes(data)
    again = Trainer(**settings(run))
    with pytest.warns(AfinaWarning, match=f"skipped {newest.name}.*optimizer.safetensors"):
        again.fit(loader(), resume=True)

    assert run_weights(again) == run_weights(whole)


def test_every_checkpoint_damaged_is_an_error(tmp_path: Path) -> None:
    """With nothing whole to go on from, the error names each and nothing is overwritten."""
    run = crashed_run(tmp_path)
    for path in (run / "checkpoints").glob("step-*"):
        (path / "state.json").write_text("{}")
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    with pytest.warns(AfinaWarning), pytest.raises(CheckpointError, match="undamaged checkpoint"):
        Trainer(**settings(run)).fit(loader(), resume=True)

    assert all(p.read_bytes() == b for p, b in before.items() if p.name != ".lock")


def test_changed_settings_are_named(tmp_path: Path) -> None:
    """Another learning rate at resume is refused by name: it would be another run."""
    run = crashed_run(tmp_path)
    with pytest.raises(ConfigError, match=r"lr was 0.001 and is now 0.01"):
        Trainer(**settings(run, lr=0.01)).fit(loader(), resume=True)


def test_thread_count_is_restored_and_named(tmp_path: Path) -> None:
    """A run started on one thread is resumed on one thread, and the caller's count is kept."""
    seen = []
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        run = crashed_run(tmp_path)
        torch.set_num_threads(2)
        watch = [lambda e: seen.append(torch.get_num_threads()) or None]
        Trainer(**settings(run, observers=watch)).fit(loader(), resume=True)
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_one_writer(tmp_path: Path) -> None:
    """A run folder in use by another process is refused."""
    run = crashed_run(tmp_path)
    with lock_folder(run), pytest.raises(LockedError):
        Trainer(**settings(run)).fit(loader(), resume=True)


def test_a_finished_run_stays_finished(tmp_path: Path) -> None:
    """Resuming a run that ended gives the same result and adds nothing."""
    first = Trainer(**settings(tmp_path / "run"))
    result = first.fit(loader())
    files = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    again = Trainer(**settings(tmp_path / "run"))

    assert again.fit(loader(), resume=True).stop == result.stop
    assert run_weights(again) == run_weights(first)
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == files


def test_checkpoints_leave_no_trace(tmp_path: Path) -> None:
    """With and without a run folder, and however often it is saved: the same weights."""
    none = Trainer(**settings(None, checkpoints=None))
    none.fit(loader())
    often = Trainer(
        **settings(tmp_path / "often", checkpoints=CheckpointPlan(every_steps=1, keep_last=1))
    )
    often.fit(loader())

    assert run_weights(none) == run_weights(often)
    assert len(list((tmp_path / "often/checkpoints").iterdir())) == 1
