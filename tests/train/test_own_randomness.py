"""Random numbers that data keeps to itself are refused where a run may be resumed."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

from afina.errors import ConfigError
from afina.train import CheckpointPlan, StepEvent, Trainer

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


class Drawing(Noisy):
    """Rows with noise from torch's global generator."""

    def __init__(self) -> None:
        super().__init__(None)

    def __getitem__(self, at: int):
        return X[at] + torch.randn(4), X[at, :1]


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


LOADERS = {
    "loader": lambda: DataLoader(ROWS, 5, shuffle=True, generator=generator()),
    "sampler": lambda: DataLoader(ROWS, 5, sampler=RandomSampler(ROWS, generator=generator())),
    "weighted": lambda: DataLoader(
        ROWS, 5, sampler=WeightedRandomSampler([1.0] * 20, 20, generator=generator())
    ),
    "batches": lambda: DataLoader(
        ROWS, batch_sampler=BatchSampler(RandomSampler(ROWS, generator=generator()), 5, False)
    ),
    "persistent workers": lambda: DataLoader(
        Drawing(), 5, shuffle=True, num_workers=1, persistent_workers=True
    ),
}
OWN = {
    r"dataset.transforms\[0\]": lambda: DataLoader(Noisy(np.random.default_rng(0)), 5),
    r"datasets\[0\].dataset.transforms": lambda: DataLoader(
        ConcatDataset([Subset(Noisy(random.Random(0)), range(9))]), 5
    ),
    "OwnLoader.rng": OwnLoader,
}


def fit(data, run_dir, val=None):
    return Trainer(nn.Linear(4, 1), loss=nn.MSELoss(), max_epochs=1, run_dir=run_dir).fit(data, val)


@pytest.mark.parametrize("name", OWN)
def test_a_generator_of_its_own_is_refused_by_name(name, tmp_path) -> None:
    """With run_dir, the message says where the generator is; nothing is written."""
    with pytest.raises(ConfigError, match=name):
        fit(OWN[name](), tmp_path / "run")
    with pytest.raises(ConfigError, match="validation data must give the same batches"):
        fit((X, X[:, :1]), tmp_path / "run", OWN[name]())

    assert not (tmp_path / "run").exists()


def test_without_a_run_folder_it_is_free() -> None:
    """Where nothing can be resumed, a generator of one's own is one's own business."""
    assert fit(OWN["OwnLoader.rng"](), None).stop.step == 1


def final(data, **settings) -> torch.Tensor:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    resume = settings.pop("resume", False)
    arguments = {"loss": nn.MSELoss(), "max_epochs": 4, "lr": 0.1} | settings
    Trainer(model, **arguments).fit(data, resume=resume)
    return model.weight.detach().clone()


@pytest.mark.parametrize("at", [4, 6, 8])
@pytest.mark.parametrize("name", LOADERS)
def test_a_loaders_generator_is_restored(name, at, tmp_path) -> None:
    """A run that stopped inside an epoch or at its end continues with the same batches."""
    whole = final(LOADERS[name]())
    final(LOADERS[name](), max_steps=at, run_dir=tmp_path / "run")
    resumed = final(LOADERS[name](), run_dir=tmp_path / "run", resume=True)

    assert torch.equal(whole, resumed)


class CrashError(Exception):
    """The end of a process, as a test can make it."""


@pytest.mark.parametrize("every", [{"every_steps": 3}, {"every_epochs": 1}], ids=str)
@pytest.mark.parametrize("name", LOADERS)
def test_a_crash_loses_no_order(name, every, tmp_path) -> None:
    """After a crash, the run resumes from its last checkpoint to the same weights."""

    def die(event) -> None:
        if isinstance(event, StepEvent) and event.step == 11:
            raise CrashError

    settings = {"run_dir": tmp_path / "run", "checkpoints": CheckpointPlan(**every)}
    whole = final(LOADERS[name]())
    with pytest.raises(CrashError):
        final(LOADERS[name](), observers=[die], **settings)

    assert torch.equal(whole, final(LOADERS[name](), resume=True, **settings))


def test_a_generator_shared_with_validation_is_restored(tmp_path) -> None:
    """A loader of validation rows may draw from the training loader's generator."""
    shared = generator()
    data, val = (DataLoader(ROWS, 5, shuffle=True, generator=shared) for _ in range(2))

    assert fit(data, tmp_path / "run", val).stop.epoch == 1


@pytest.mark.parametrize(
    "make",
    [Stateful, lambda: DataLoader(ROWS, 5, shuffle=True), lambda: list(DataLoader(ROWS, 5))],
    ids=["stateful", "global", "list"],
)
def test_what_can_be_resumed_is_taken(make, tmp_path) -> None:
    """The trainer's seed decides a plain loader's order; a stateful iterable keeps its own."""
    assert fit(make(), tmp_path / "run").stop.epoch == 1
