"""Iterable datasets whose rows come from worker processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Adam
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

import afina


class Readings(IterableDataset):
    """Forty rows, of which each worker yields its share."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for i in range(first, 40, step):
            x = torch.tensor([i / 40, (i % 7) / 7], dtype=torch.float64)
            yield x, x.sum(0, keepdim=True)


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def loader() -> DataLoader:
    return DataLoader(Readings(), batch_size=8, num_workers=2)


def fit(*, epochs: int = 2, folder: Path | None = None, resume: bool = False) -> nn.Module:
    """Train with afina and return the model."""
    model = make_model()
    optimizer = Adam(model.parameters(), lr=0.01)
    trainer = afina.Trainer(
        model, loss=nn.MSELoss(), optimizer=optimizer, max_epochs=epochs, run_dir=folder
    )
    trainer.fit(loader(), loader(), resume=resume)
    return model


def test_workers_feed_a_fit_as_a_loop_by_hand(
    by_hand: Callable[..., None], difference: Callable[[nn.Module, nn.Module], float]
) -> None:
    """All rows of all workers train and validate, in the loader's order."""
    theirs = make_model()
    by_hand(theirs, loader(), mse_loss, Adam(theirs.parameters(), lr=0.01), epochs=2)

    assert difference(fit(), theirs) <= 1e-10


def test_a_fit_with_workers_is_resumed(
    tmp_path: Path, difference: Callable[[nn.Module, nn.Module], float]
) -> None:
    """A run that was saved after one epoch and resumed ends as the uninterrupted one."""
    fit(epochs=1, folder=tmp_path / "run")

    assert difference(fit(folder=tmp_path / "run", resume=True), fit()) == 0.0
