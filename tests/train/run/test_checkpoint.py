"""What is kept, and what is read back."""

from pathlib import Path

import pytest
import torch
from torch import nn

from afina.train import CheckpointPlan, EvalEvent, Trainer
from afina.train.run.checkpoint import list_checkpoints, read_checkpoint, read_newest


def run(folder: Path, plan: CheckpointPlan, **more):
    torch.manual_seed(0)
    x = torch.randn(40, 3)
    y = x.sum(1, keepdim=True)
    trainer = Trainer(
        nn.Linear(3, 1),
        loss=nn.MSELoss(),
        lr=0.5,
        batch_size=8,
        max_epochs=6,
        run_dir=folder,
        checkpoints=plan,
        **more,
    )
    return trainer, trainer.fit((x[:30], y[:30]), (x[30:], y[30:]))


def steps(folder: Path) -> list[int]:
    return [int(p.name.removeprefix("step-")) for p in list_checkpoints(folder / "checkpoints")]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (CheckpointPlan(every_steps=5, every_minutes=None, keep_last=100), [5, 10, 15, 20, 24]),
        (CheckpointPlan(every_steps=5, every_minutes=None, keep_last=2), [20, 24]),
        (CheckpointPlan(every_epochs=2, every_minutes=None, keep_last=100), [8, 16, 24]),
        (CheckpointPlan(every_minutes=0, keep_last=3), [22, 23, 24]),
        (CheckpointPlan(every_minutes=None), [24]),
    ],
)
def test_when_and_which(tmp_path: Path, plan: CheckpointPlan, expected: list[int]) -> None:
    """Every n steps, epochs or minutes; the last k stay; one is always written at the end."""
    run(tmp_path, plan)

    assert steps(tmp_path) == expected


def test_the_best_stay(tmp_path: Path) -> None:
    """keep_best keeps the checkpoints of the k best evaluations."""
    _, result = run(tmp_path, CheckpointPlan(every_minutes=None, keep_last=1, keep_best=2))
    evals = sorted(
        (e.metrics["val/loss"], e.step) for e in result.history[:-1] if isinstance(e, EvalEvent)
    )
    best_two = {step for value, step in evals if step != 24}
    kept = steps(tmp_path)

    assert kept[-1] == 24
    assert len(kept) <= 3
    assert set(kept[:-1]) <= best_two


def test_a_checkpoint_holds_the_whole_state(tmp_path: Path) -> None:
    """Weights, moments, best weights and counters come back bit for bit."""
    trainer, result = run(tmp_path, CheckpointPlan(every_minutes=None))
    snapshot, passed_over = read_newest(tmp_path / "checkpoints")

    assert passed_over == []
    assert snapshot.state["stop"] == result.stop._asdict()
    assert snapshot.state["step"] == 24
    best = snapshot.trees["best"]
    assert all(torch.equal(best[k], v) for k, v in trainer.model.state_dict().items())
    assert snapshot.trees["optimizer"]["state"][0]["exp_avg"].shape == (1, 3)
    assert snapshot.trees["optimizer"]["state"][0]["step"] == 24


def test_no_pickle_in_what_is_written(tmp_path: Path) -> None:
    """Files are safetensors and JSON and nothing else."""
    run(tmp_path, CheckpointPlan(every_steps=7, every_minutes=None))
    names = {p.name for p in tmp_path.rglob("*") if p.is_file()}

    assert names <= {
        "model.safetensors",
        "optimizer.safetensors",
        "best.safetensors",
        "state.json",
        "MANIFEST.json",
        "metrics.jsonl",
        ".lock",
    }
    for path in tmp_path.rglob("*.json*"):
        path.read_bytes().decode()
    newest = list_checkpoints(tmp_path / "checkpoints")[-1]
    assert read_checkpoint(newest).metrics_bytes == (tmp_path / "metrics.jsonl").stat().st_size
