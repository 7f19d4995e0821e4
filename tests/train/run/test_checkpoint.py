"""What is kept, and what is read back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from afina.storage import checkpoint_step, list_checkpoints
from afina.train import CheckpointPlan, EvalEvent, Trainer
from afina.train.run.checkpoint import read_checkpoint, read_newest


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


class Unsized:
    """An iterable of batches that does not say how many there are."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
        return iter([(part, part.sum(1, keepdim=True)) for part in x.split(5)])


def test_the_best_stay_where_every_step_is_saved(tmp_path: Path) -> None:
    """Of a stream of unknown length, the last step of an epoch is saved before its evaluation."""
    plan = CheckpointPlan(every_steps=1, every_minutes=None, keep_last=2, keep_best=1)
    trainer = Trainer(
        nn.Linear(3, 1),
        loss=nn.MSELoss(),
        lr=0.9,
        optimizer="sgd",
        max_epochs=6,
        run_dir=tmp_path,
        checkpoints=plan,
    )
    result = trainer.fit(Unsized(), next(iter(Unsized())))
    scores = {e.step: e.metrics["val/loss"] for e in result.history if isinstance(e, EvalEvent)}
    best = min(list(scores)[:-1], key=scores.get)
    kept = {path: read_checkpoint(path) for path in list_checkpoints(tmp_path / "checkpoints")}

    assert best in {snapshot.state["step"] for snapshot in kept.values()}
    (there,) = [one for one in kept.values() if one.state["step"] == best]
    assert there.state["step_in_epoch"] == 0
    assert there.state["stopping"]["best"] == pytest.approx(min(list(scores.values())[:-1]))


def test_checkpoints_go_by_number(tmp_path: Path) -> None:
    """Step 100,000,000 comes after step 99,999,999, though not as text."""
    for number in (99_999_999, 100_000_000):
        (tmp_path / f"step-{number:08d}").mkdir()

    assert list(map(checkpoint_step, list_checkpoints(tmp_path))) == [99_999_999, 100_000_000]


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
