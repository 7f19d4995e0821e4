"""A checkpoint is written beside the training, and what goes wrong there is never lost."""

import contextlib
import errno
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from afina.errors import CheckpointError, NonFiniteError, StorageError
from afina.storage import commit_folder, verify_folder
from afina.train import CheckpointPlan
from afina.train.run.checkpoint import Keeper, list_checkpoints, read_checkpoint, read_newest
from afina.train.settings import StopSettings
from afina.train.state import TrainState
from afina.train.stopping import Stopping

PLAN = CheckpointPlan(every_steps=1, every_minutes=None, keep_last=1)
EXTRA = {"position": None, "metrics_bytes": 0, "conditions": {}, "settings": {}}


def state(step: int) -> TrainState:
    """Make a state of a run."""
    return TrainState(Stopping(StopSettings(patience=None)), step=step)


def trees(step: int) -> dict:
    """Make what a run holds after a step."""
    return {"model": {"w": torch.full((3,), float(step))}, "optimizer": {"state": {}}}


def names(folder: Path) -> list[str]:
    """List the checkpoints by name."""
    return [path.name for path in list_checkpoints(folder)]


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    """Return a keeper of an empty folder."""
    made = Keeper(tmp_path / "checkpoints", PLAN, higher_is_better=False)
    yield made
    made.wait()


class Gate:
    """Holds the background back until it is opened."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self) -> None:
        """Wait, in the background."""
        assert self.event.wait(60)

    def open(self) -> None:
        """Let the background go on."""
        self.event.set()


def full_disk(descriptor: int) -> None:
    """Stand for an fsync that finds no room."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_training_goes_on_while_a_checkpoint_is_written(keeper: Keeper) -> None:
    """`save` returns before the checkpoint is there; `wait` after it; `finished` tells it once."""
    gate = Gate()
    path = keeper.save(state(1), trees(1), EXTRA, None, first=gate)

    assert not keeper.due(state(1), None)
    assert (keeper.finished(), names(keeper.folder)) == ([], [])
    gate.open()
    keeper.wait()
    assert (keeper.finished(), names(keeper.folder)) == ([path], ["step-00000001"])
    assert keeper.finished() == []


def test_a_checkpoint_is_what_the_run_was_when_it_was_saved(keeper: Keeper) -> None:
    """Steps taken while it is written do not get into it."""
    gate, held = Gate(), trees(1)
    path = keeper.save(state(1), held, EXTRA, None, first=gate)
    held["model"]["w"].add_(100)
    gate.open()
    keeper.wait()

    assert read_checkpoint(path).trees["model"]["w"].tolist() == [1.0] * 3


def test_the_old_one_goes_only_when_the_new_one_is_durable(keeper: Keeper) -> None:
    """While the new one is being written, and when that fails, the old one is there and whole."""
    keeper.save(state(1), trees(1), EXTRA, None)
    keeper.wait()
    gate = Gate()
    keeper.save(state(2), trees(2), EXTRA, None, first=gate)

    assert names(keeper.folder) == ["step-00000001"]
    gate.open()
    keeper.wait()
    assert names(keeper.folder) == ["step-00000002"]


@pytest.mark.parametrize("ask", ["wait", "due", "save"])
def test_an_error_in_the_background_is_raised_by_the_next_call(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    """A full disk: StorageError at the next call, once; the old one is intact; a new save works."""
    keeper.save(state(1), trees(1), EXTRA, None)
    keeper.wait()
    keeper.finished()
    monkeypatch.setattr(os, "fsync", full_disk)
    keeper.save(state(2), trees(2), EXTRA, None)
    for thread in threading.enumerate():
        if thread.name == "afina-checkpoint":
            thread.join()
    with pytest.raises(StorageError, match=r"step-00000002 must be written.*ENOSPC.* bytes are"):
        {
            "wait": keeper.wait,
            "due": lambda: keeper.due(state(3), None),
            "save": lambda: keeper.save(state(3), trees(3), EXTRA, None),
        }[ask]()
    monkeypatch.undo()

    assert keeper.finished() == []
    assert read_newest(keeper.folder)[0].state["step"] == 1
    assert keeper.due(state(2), None)
    keeper.save(state(2), trees(2), EXTRA, None)
    keeper.wait()
    assert names(keeper.folder) == ["step-00000002"]


def test_a_keeper_that_swallows_the_error_is_caught(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded fault: a background whose errors go nowhere says saved, and nothing is there."""

    def swallow(work) -> None:
        with contextlib.suppress(StorageError):
            work()

    monkeypatch.setattr(keeper._work, "_run", swallow)
    monkeypatch.setattr(os, "fsync", full_disk)
    keeper.save(state(1), trees(1), EXTRA, None)
    keeper.wait()

    assert names(keeper.folder) == []


def test_metrics_are_durable_before_the_checkpoint_that_counts_them(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`first` is done before anything is written; where it fails there is no checkpoint."""
    order = []
    really_rename = Path.rename
    monkeypatch.setattr(
        Path, "rename", lambda path, goal: order.append("commit") or really_rename(path, goal)
    )
    keeper.save(state(1), trees(1), EXTRA, None, first=lambda: order.append("metrics"))
    keeper.wait()

    def failing() -> None:
        raise StorageError("metrics.jsonl")

    keeper.save(state(2), trees(2), EXTRA, None, first=failing)
    with pytest.raises(StorageError, match=r"metrics.jsonl"):
        keeper.wait()
    assert order[:2] == ["metrics", "commit"]
    assert names(keeper.folder) == ["step-00000001"]


def test_leaving_waits_and_tells_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of a `with` statement the write has ended; its error is raised, or noted."""
    with Keeper(tmp_path / "a", PLAN, higher_is_better=False) as keeper:
        keeper.save(state(1), trees(1), EXTRA, None)
    assert names(tmp_path / "a") == ["step-00000001"]

    monkeypatch.setattr("afina.storage.commit.os.fsync", full_disk)
    with pytest.raises(StorageError, match="ENOSPC"), keeper:
        keeper.save(state(2), trees(2), EXTRA, None)
    keeper.save(state(2), trees(2), EXTRA, None)
    with pytest.raises(NonFiniteError) as caught, keeper:
        raise NonFiniteError("the loss must be finite")
    assert "the last checkpoint was not saved" in caught.value.__notes__[0]
    assert "ENOSPC" in caught.value.__notes__[0]


def test_best_weights_are_copied_once(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as they are the same object their bytes are used again, and then no longer."""
    packed = []
    from afina.train.run import checkpoint_files

    really_flatten = checkpoint_files.flatten_state
    monkeypatch.setattr(
        checkpoint_files, "flatten_state", lambda tree: packed.append(tree) or really_flatten(tree)
    )
    best = [{"w": torch.full((2,), float(i))} for i in range(2)]
    for step, which in enumerate([0, 0, 0, 1, 0], start=1):
        path = keeper.save(state(step), {**trees(step), "best": best[which]}, EXTRA, None)
        keeper.wait()
        snapshot = read_checkpoint(path)

        assert torch.equal(snapshot.trees["best"]["w"], best[which]["w"])
        assert snapshot.trees["model"]["w"].tolist() == [float(step)] * 3
    assert sum(tree is b for tree in packed for b in best) == 3


def test_what_cannot_be_read_back_is_refused_when_saved(keeper: Keeper) -> None:
    """A position in the data of a million numbers is an error at the save, not at the resume."""
    extra = {**EXTRA, "position": list(range(1_000_000))}
    with pytest.raises(CheckpointError, match="must be small enough to be read back"):
        keeper.save(state(1), trees(1), extra, None)

    keeper.save(state(1), trees(1), EXTRA, None)
    keeper.wait()
    assert names(keeper.folder) == ["step-00000001"]


def test_another_format_is_named(keeper: Keeper, tmp_path: Path) -> None:
    """A checkpoint of another version of afina is refused by its number, not misread."""
    path = keeper.save(state(1), trees(1), EXTRA, None)
    keeper.wait()
    files = verify_folder(path)
    text = json.dumps({**json.loads(files["state.json"]), "format": 1})
    commit_folder(tmp_path / "step-00000002", {**files, "state.json": text.encode()})

    with pytest.raises(
        CheckpointError, match=r"format must be 2; got 1\. It was written by another"
    ):
        read_checkpoint(tmp_path / "step-00000002")


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path: Path) -> None:
    """Step 100,000,000 comes after step 99,999,999, though its name sorts before it."""
    for step in (100_000_000, 99_999_999):
        (tmp_path / f"step-{step:08d}").mkdir()

    assert names(tmp_path) == ["step-99999999", "step-100000000"]
