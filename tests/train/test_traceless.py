"""Observing changes nothing: the last weights are the same bytes with any number of evaluations."""

import hashlib
import random
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from afina.errors import AfinaWarning
from afina.train import CheckpointPlan, Trainer, gradient
from afina.train.run.checkpoint import read_newest

N_EPOCHS = 8


def rows(n: int = 90, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 5, generator=generator)
    return x, (x[:, 0] * x[:, 1] > 0).long()


def draw_everywhere(*_: object) -> dict[str, float]:
    """Draw from every global generator, as a user's scores and observers may do."""
    torch.rand(3), np.random.rand(3), random.random()
    return {"drawn": 1.0}


def last_weights(run: Path, *, val: object = None, look_for_lr: bool = False, **settings) -> str:
    """Train; return the sha256 of the last weights and running statistics (not the best)."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3)),
        nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3)),
        nn.Linear(16, 2),
    )
    arguments = {
        "lr": 0.01,
        "weight_decay": 0.1,
        "max_grad_norm": 1.0,
        "schedule": "cosine",
        "batch_size": 16,
        "max_epochs": N_EPOCHS,
        "checkpoints": CheckpointPlan(every_minutes=None, keep_last=1),
    }
    trainer = Trainer(model, loss=nn.CrossEntropyLoss(), run_dir=run, **arguments | settings)
    if look_for_lr:
        trainer.find_lr(rows(), n_steps=20)
    trainer.fit(rows(), val)
    snapshot, _ = read_newest(run / "checkpoints")
    digest = hashlib.sha256()
    for tree in ("model", "average"):
        for name, value in snapshot.trees.get(tree, {}).items():
            digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


SHUFFLED = DataLoader(TensorDataset(*rows(40, 1)), 8, shuffle=True)

LOOKS: dict[str, dict] = {
    "validation every epoch": {"val": rows(40, 1)},
    "validation every 7 epochs": {"val": rows(40, 1), "eval_every": 7},
    "validation through a shuffling loader": {"val": SHUFFLED},
    "scores that draw random numbers": {"val": rows(40, 1), "scores": draw_everywhere},
    "a checkpoint every step": {"checkpoints": CheckpointPlan(every_steps=1, keep_last=1)},
    "the best checkpoints kept": {
        "val": rows(40, 1),
        "checkpoints": CheckpointPlan(every_epochs=2, keep_last=3, keep_best=2),
    },
    "an observer": {"observers": [lambda event: print(event) if event.step % 7 == 0 else None]},
    "observers that draw random numbers": {"observers": [lambda e: draw_everywhere() and None]},
    "few log lines": {"log_every": 1000},
    "a learning-rate range test": {"look_for_lr": True},
}

KINDS: dict[str, dict] = {
    "plain": {},
    "averaged": {"averaging": "ema", "ema_decay": 0.9},
    "accumulated": {"microbatch_size": 5},
    "window": {"microbatch_size": 5, "batchnorm": "window"},
    "bf16": {"precision": "bf16"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_look_leaves_a_trace(tmp_path: Path, kind: str, capsys) -> None:
    """Every way to observe a run, and none, ends in the same sha256."""
    settings = KINDS[kind]
    found = {"nobody looks": last_weights(tmp_path / "plain", **settings)}
    for number, (name, look) in enumerate(LOOKS.items()):
        found[name] = last_weights(tmp_path / str(number), **settings | look)

    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("fault", ["stream", "mode", "range"])
def test_seeded_faults_are_caught(tmp_path: Path, fault: str, monkeypatch) -> None:
    """Seeded faults: validation in the training stream or in train mode, a range test that keeps its weights."""
    look = LOOKS["scores that draw random numbers"]
    if fault == "stream":
        monkeypatch.setattr(gradient, "reseed_torch", lambda *_: None)
    if fault == "mode":
        monkeypatch.setattr("afina.train.evaluate.eval_mode", nullcontext)
    if fault == "range":
        monkeypatch.setattr("afina.train.trainer.kept_weights", nullcontext)
        look = LOOKS["a learning-rate range test"]

    torch.manual_seed(0)
    plain = last_weights(tmp_path / "plain")
    assert plain != last_weights(tmp_path / "looked", **look)


def test_the_callers_random_numbers_are_given_back() -> None:
    """A fit and a range test leave torch's, numpy's and Python's generators as they were."""

    def states() -> tuple[bytes, list[int], tuple]:
        drawn = np.random.get_state()[1].tolist()
        return torch.get_rng_state().numpy().tobytes(), drawn, random.getstate()

    trainer = Trainer(nn.Linear(5, 2), loss=nn.CrossEntropyLoss(), max_epochs=2)
    before = states()
    with pytest.warns(AfinaWarning, match="did not fall clearly"):  # too few steps to fall
        trainer.find_lr(rows(), n_steps=5)
    trainer.fit(rows(), SHUFFLED)

    assert states() == before
