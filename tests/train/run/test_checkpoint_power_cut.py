"""A checkpoint that was said to be durable is there after a power cut, with its metrics."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from afina.train import CheckpointPlan
from afina.train.events import EpochEvent
from afina.train.run.checkpoint import Keeper, list_checkpoints, read_newest
from afina.train.run.metrics_log import MetricsLog
from afina.train.settings import StopSettings
from afina.train.state import TrainState
from afina.train.stopping import Stopping

if TYPE_CHECKING:
    from conftest import DiskImage


def train(disk: Path, n_saves: int) -> Iterator[tuple[int, Keeper]]:
    """Save `n_saves` checkpoints of 400 kB, with a log; yield each step while it is written."""
    with contextlib.ExitStack() as stack:
        keeper = Keeper(disk / "run" / "checkpoints", CheckpointPlan(), higher_is_better=False)
        log = MetricsLog(disk / "run" / "metrics.jsonl", every=1, size=0)
        stack.callback(log.close)
        stack.enter_context(keeper)
        for step in range(1, n_saves + 1):
            log.write(EpochEvent(step, step, 0.5))
            state = TrainState(Stopping(StopSettings(patience=None)), step=step)
            trees = {"model": {"w": torch.full((100_000,), float(step))}, "optimizer": {}}
            extra = {"position": None, "conditions": {}, "settings": {}}
            extra["metrics_bytes"] = log.flush()
            keeper.save(state, trees, extra, None, first=log.make_durable)
            yield step, keeper


def newest_after(copy: "DiskImage") -> int:
    """Mount what a power cut left; give the newest whole step, having checked its metrics."""
    with copy.mounted() as disk:
        if not (disk / "run" / "checkpoints").exists():
            return 0
        snapshot, _ = read_newest(disk / "run" / "checkpoints")
        if snapshot is None:
            return 0
        assert snapshot.trees["model"]["w"].unique().tolist() == [snapshot.state["step"]]
        assert (disk / "run" / "metrics.jsonl").stat().st_size >= snapshot.metrics_bytes
        return int(snapshot.state["step"])


def test_a_checkpoint_that_is_durable_outlives_a_power_cut(image: "DiskImage") -> None:
    """Cut right after `wait`, and after `finished` names it: it is the newest whole one."""
    with image.mounted() as disk:
        copies = []
        for step, keeper in train(disk, 4):
            keeper.wait()
            copies.append((step, image.cut()))

    assert [step for step, _ in copies] == [newest_after(copy) for _, copy in copies]


def test_a_power_cut_while_one_is_written_loses_none_that_is_durable(image: "DiskImage") -> None:
    """Cut at whatever moment of the background's work: the last durable one, or the new one."""
    with image.mounted() as disk:
        copies = []
        durable = 0
        for step, keeper in train(disk, 8):
            copies.append((durable, step, image.cut()))
            keeper.wait()
            durable = step
        assert len(list_checkpoints(disk / "run" / "checkpoints")) == 2

    for durable, step, copy in copies:
        assert newest_after(copy) in (durable, step)


def test_the_cut_catches_a_save_without_fsync(
    image: "DiskImage", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded fault: with an fsync that does nothing, what was said to be durable is lost."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    with image.mounted() as disk:
        copies = []
        for step, keeper in train(disk, 2):
            keeper.wait()
            copies.append((step, image.cut()))

    assert [newest_after(copy) for _, copy in copies] != [step for step, _ in copies]
