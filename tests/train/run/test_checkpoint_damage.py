"""One flipped bit anywhere in a checkpoint is found, and the one before it is used."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch

from afina.errors import CheckpointError
from afina.storage import MANIFEST, verify
from afina.train import CheckpointPlan
from afina.train.run.checkpoint import Keeper, list_checkpoints, read_checkpoint, read_newest
from afina.train.settings import StopSettings
from afina.train.state import TrainState
from afina.train.stopping import Stopping


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two small checkpoints, with a second state of the weights."""
    keeper = Keeper(tmp_path, CheckpointPlan(keep_last=2), higher_is_better=False)
    extra = {"position": None, "metrics_bytes": 9, "conditions": {}, "settings": {"lr": 0.1}}
    for step in (1, 2):
        state = TrainState(Stopping(StopSettings(patience=3)), step=step, epoch_loss=0.5)
        weights = {"w": torch.randn(4), "on": torch.tensor([True, False])}
        trees = {"model": weights, "optimizer": {"state": {0: torch.randn(4)}}, "best": weights}
        keeper.save(state, trees, extra, None)
    keeper.wait()
    return tmp_path


def flips(folder: Path) -> Iterator[tuple[str, int]]:
    """Flip every bit of every file of a folder, one after the other; name file and bit."""
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        with path.open("r+b", buffering=0) as file:
            for bit in range(8 * len(data)):
                file.seek(bit // 8)
                file.write(bytes([data[bit // 8] ^ 1 << bit % 8]))
                yield path.name, bit
                file.seek(bit // 8)
                file.write(data[bit // 8 : bit // 8 + 1])


def n_bits(folder: Path) -> int:
    """Count the bits of a folder's files."""
    return 8 * sum(path.stat().st_size for path in folder.iterdir())


def let_through(folder: Path) -> Counter[str]:
    """Count, by file, the flips that the reader takes for a checkpoint."""
    found: Counter[str] = Counter()
    for name, _ in flips(folder):
        try:
            read_checkpoint(folder)
        except CheckpointError:
            continue
        found[name] += 1
    return found


def test_every_flipped_bit_is_found(folder: Path) -> None:
    """Each bit of each file, manifest and state included: CheckpointError, and never anything else.

    No flip is harmless: the manifest is compared with what it means, so that not even a changed
    blank passes.
    """
    newest = list_checkpoints(folder)[-1]

    assert n_bits(newest) > 10_000
    assert {path.name for path in newest.iterdir()} == {
        MANIFEST,
        "state.json",
        "model.safetensors",
        "optimizer.safetensors",
        "best.safetensors",
    }
    assert let_through(newest) == Counter()
    assert read_checkpoint(newest).state["step"] == 2


def test_the_flips_catch_a_reader_without_checksums(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeded fault: sizes alone are checked. Then every bit of every weight passes, and others."""
    monkeypatch.setattr(
        verify,
        "_checked",
        lambda path, place, name, entry: verify._read(path, place, name, entry.size),
    )
    newest = list_checkpoints(folder)[-1]
    found = let_through(newest)
    n_float_bits = 8 * 4 * 4

    assert found["optimizer.safetensors"] >= n_float_bits
    assert found["model.safetensors"] >= n_float_bits + 2
    assert found["state.json"] > 500
    assert sum(found.values()) / n_bits(newest) > 0.1


def test_the_flips_catch_safetensors_alone(folder: Path) -> None:
    """Seeded fault: the library by itself reads every flip of a float without a word."""
    file = list_checkpoints(folder)[-1] / "optimizer.safetensors"
    data = file.read_bytes()
    n_header = 8 + int.from_bytes(data[:8], "little")
    n_silent = 0
    for bit in range(8 * n_header, 8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        n_silent += len(safetensors.torch.load(bytes(changed)))

    assert n_silent == 8 * 4 * 4


def test_after_any_damage_the_one_before_is_read_and_the_damaged_one_named(folder: Path) -> None:
    """One flip in every byte: the whole one before it comes back, the other is named, and why."""
    newest = list_checkpoints(folder)[-1]
    for name, bit in flips(newest):
        if bit % 8 != bit // 8 % 8:  # one bit a byte, each in turn
            continue
        snapshot, passed_over = read_newest(folder)

        assert snapshot.state["step"] == 1
        assert len(passed_over) == 1
        assert passed_over[0].startswith("skipped step-00000002: ")
        assert name in passed_over[0] or name == MANIFEST  # which may put the blame on another


def test_what_is_read_back_is_what_was_saved(folder: Path) -> None:
    """Undamaged, both come back bit for bit, and the public library reads the same tensors."""
    for path in list_checkpoints(folder):
        snapshot = read_checkpoint(path)
        for name in ("model", "best"):
            read = safetensors.torch.load_file(path / f"{name}.safetensors")

            assert torch.equal(read["state.w"], snapshot.trees[name]["w"])
            assert torch.equal(read["state.on"], snapshot.trees[name]["on"])
        assert json.loads((path / "state.json").read_bytes())["state"] == snapshot.state
