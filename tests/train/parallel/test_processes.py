"""Data exchanged by processes; most checks run in one program for each number of processes."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from afina.errors import ConfigError, PeerError
from afina.optim import make_optimizer
from afina.train import Trainer
from afina.train.assembly import choose_optimizer
from afina.train.loss import make_weighted_loss
from afina.train.parallel.reduction import MovingBuffers, sum_gradients
from afina.train.parallel.sharding import shard_model, sync_gradients, whole
from afina.train.processes import ALONE, current_processes, naming_lost_peers, own_device, share
from afina.train.settings import TrainerSettings

PROGRAM = Path(__file__).with_name("process_checks.py")
CHECKS = re.findall(r"^def (check_\w+)", PROGRAM.read_text(encoding="utf-8"), re.MULTILINE)


def launched(n_processes: int) -> dict[str, dict[str, str]]:
    """Run every check in a number of processes; return what went wrong, by rank and check."""
    with TemporaryDirectory() as folder:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        run = subprocess.run(
            [*torchrun, "--nproc-per-node", str(n_processes), str(PROGRAM), folder],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        files = sorted(Path(folder).glob("*.json"))
        assert len(files) == n_processes, run.stderr
        return {file.stem: json.loads(file.read_text()) for file in files}


@pytest.mark.slow
@pytest.mark.parametrize("n_processes", [2, 3])
def test_several_processes(n_processes: int) -> None:
    """Each check of `process_checks.py` passes in every process; its docstring says what it proves."""
    ranks = launched(n_processes)
    ranks[str(n_processes - 1)]["check_lost_peer"] = ""  # it was killed by then
    failed = {name: why for found in ranks.values() for name, why in found.items() if why}

    assert failed == {}
    assert all(sorted(found) == sorted(CHECKS) for found in ranks.values())


@given(st.integers(0, 50), st.integers(1, 9), st.integers(1, 3))
def test_shares(n_rows: int, n_processes: int, least: int) -> None:
    """Shares are even, hold each row once and in order, and none is too small for the model."""
    shares = [share(n_rows, rank, n_processes, least=least) for rank in range(n_processes)]
    sizes = [len(part) for part in shares if part]

    assert [row for part in shares for row in part] == list(range(n_rows))
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert all(size >= min(least, n_rows) for size in sizes)
    assert len(sizes) == min(n_processes, n_rows // least) or n_rows < least


def test_one_process_exchanges_nothing() -> None:
    """With one process nothing changes, and no group is opened."""
    p = nn.Parameter(torch.ones(2))
    p.grad = gradient = torch.ones(2)
    with current_processes() as processes:
        assert processes == ALONE
        assert not torch.distributed.is_initialized()

    assert sum_gradients(ALONE, [p], 2.0, 3.0, [1]) == (2.0, 3.0, [1])
    assert p.grad is gradient
    assert ALONE.agree([1, 0]) == [1, 0]
    assert ALONE.broadcast_json({"a": 1}) == {"a": 1}
    assert MovingBuffers(nn.BatchNorm1d(2), ALONE).moved() == []


@pytest.mark.parametrize("missing", ["RANK", "MASTER_PORT", ""])
def test_no_launcher(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An incomplete launcher's environment, or one for a single process, opens no group."""
    values = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    if not missing:
        values["WORLD_SIZE"] = "1"
    for name, value in values.items():
        if name != missing:
            monkeypatch.setenv(name, value)
    with current_processes() as processes:
        assert processes == ALONE


@pytest.mark.parametrize("device", ["cpu", "cuda:3"])
def test_a_named_device_stays(device: str) -> None:
    """Only `cuda` without a number becomes the process's own GPU."""
    assert own_device(torch.device(device), {"LOCAL_RANK": "1"}) == torch.device(device)
    assert own_device(torch.device("cuda"), {}) == torch.device("cuda:0")


def test_other_errors_pass() -> None:
    """An error of the model itself is not taken for a lost process."""
    with pytest.raises(RuntimeError, match="shapes") as caught, naming_lost_peers(""):
        raise RuntimeError("shapes differ")
    assert not isinstance(caught.value, PeerError)


def test_sparse_gradients_are_refused() -> None:
    """A sparse gradient is named before anything is exchanged."""
    table = nn.Embedding(3, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    processes = type(ALONE)(rank=0, n_processes=2)
    with pytest.raises(ConfigError, match="sparse=False"):
        sum_gradients(processes, list(table.parameters()), 0.0, 0.0)


def test_sharding_is_refused() -> None:
    """Sharding needs several processes, and parameters that have a dimension."""
    with pytest.raises(ConfigError, match="torchrun"):
        shard_model(nn.Linear(2, 2), ALONE)
    model = nn.Linear(2, 2)
    model.scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ConfigError, match="scale"):
        shard_model(model, type(ALONE)(rank=0, n_processes=2))


@pytest.mark.parametrize(
    "setting",
    [
        {"compile": True},
        {"averaging": "ema"},
        {"precision": "fp16"},
        {"microbatch_size": "auto"},
        {"batchnorm": "window"},
        {"optimizer": "shampoo"},
        {"optimizer": torch.optim.SGD([torch.ones(1)], lr=0.1)},
    ],
)
def test_what_sharding_cannot_do_is_named(setting: dict[str, Any]) -> None:
    """Settings that are wrong or slow with shards are refused before anything runs."""
    with pytest.raises(ConfigError, match="sharding"):
        Trainer(nn.Linear(1, 1), loss=nn.MSELoss(), sharding="fsdp2", **setting)


def test_a_callable_that_makes_what_cannot_be_sharded_is_refused() -> None:
    """Shampoo cannot be sharded, whoever makes it."""
    settings = TrainerSettings(optimizer="shampoo", sharding="fsdp2")
    make = partial(make_optimizer, "shampoo", lr=0.1)
    with pytest.raises(ConfigError, match="cannot be combined with shampoo"):
        choose_optimizer(nn.Linear(40, 40), make, settings, make_weighted_loss(nn.MSELoss()))


def test_sharding_alone_is_refused() -> None:
    """One process cannot shard a model; the model stays unchanged."""
    model = nn.Linear(1, 1)
    trainer = Trainer(model, loss=nn.MSELoss(), sharding="fsdp2")
    with pytest.raises(ConfigError, match="torchrun"):
        trainer.fit((torch.ones(2, 1), torch.ones(2, 1)))
    assert model.weight.isfinite().all()


def test_a_whole_model_stays() -> None:
    """The functions for shards leave unsharded models and tensors unchanged."""
    model = nn.Linear(2, 2)
    sync_gradients(model, last=False)
    state = whole({"a": [model.weight], "b": (1,)})

    assert state["a"][0] is model.weight
    assert state["b"] == (1,)
