"""Random numbers that data keeps to itself are refused where a run may be resumed."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

from afina.errors import ConfigError
from afina.train import Trainer

X = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
ROWS = TensorDataset(X, X[:, :1])


class Noisy(Dataset):
    """Rows with noise from a generator of the dataset's own."""

    def __init__(self, rng: object) -> None:
        self.transforms = [rng]

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, at: int):
        return X[at], X[at, :1]


class OwnLoader:
    """An iterable of batches that shuffles by numpy's new generators."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __iter__(self):
        yield X[self.rng.permutation(20)], X[:, :1]


class Stateful(OwnLoader):
    """The same, whose state a checkpoint holds."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state) -> None:
        pass


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


OWN = {
    "DataLoader.generator": lambda: DataLoader(ROWS, 5, shuffle=True, generator=generator()),
    "DataLoader.sampler.generator": lambda: DataLoader(
        ROWS, 5, sampler=RandomSampler(ROWS, generator=generator())
    ),
    "DataLoader.sampler.generator ": lambda: DataLoader(
        ROWS, 5, sampler=WeightedRandomSampler([1.0] * 20, 20, generator=generator())
    ),
    r"dataset.transforms\[0\]": lambda: DataLoader(Noisy(np.random.default_rng(0)), 5),
    r"datasets\[0\].dataset.transforms": lambda: DataLoader(
        ConcatDataset([Subset(Noisy(random.Random(0)), range(9))]), 5
    ),
    "OwnLoader.rng": OwnLoader,
    "persistent workers": lambda: DataLoader(ROWS, 5, num_workers=1, persistent_workers=True),
}


def fit(data, run_dir, val=None):
    return Trainer(nn.Linear(4, 1), loss=nn.MSELoss(), max_epochs=1, run_dir=run_dir).fit(data, val)


@pytest.mark.parametrize("name", OWN)
def test_a_generator_of_its_own_is_refused_by_name(name, tmp_path) -> None:
    """With run_dir, the message says where the generator is; nothing is written."""
    with pytest.raises(ConfigError, match=name.strip()):
        fit(OWN[name](), tmp_path / "run")
    with pytest.raises(ConfigError, match="validation data must give the same batches"):
        fit((X, X[:, :1]), tmp_path / "run", OWN[name]())

    assert not (tmp_path / "run").exists()


def test_without_a_run_folder_it_is_free() -> None:
    """Where nothing can be resumed, a generator of one's own is one's own business."""
    assert fit(OWN["DataLoader.generator"](), None).stop.step == 4


@pytest.mark.parametrize(
    "make",
    [Stateful, lambda: DataLoader(ROWS, 5, shuffle=True), lambda: list(DataLoader(ROWS, 5))],
    ids=["stateful", "global", "list"],
)
def test_what_can_be_resumed_is_taken(make, tmp_path) -> None:
    """The trainer's seed decides a plain loader's order; a stateful iterable keeps its own."""
    assert fit(make(), tmp_path / "run").stop.epoch == 1
