"""Train your own module: what a user writes, and what must not pass."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import afina
from afina.train import Result, Trainer


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches, as any iterable may."""
    yield torch.zeros(4, 2), torch.zeros(4, 1)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return one loss per row."""
    return (outputs - targets).square().mean(1)


def scores(outputs: Tensor, targets: Tensor, weights: Tensor | None) -> dict[str, float]:
    """Return scores of the validation rows."""
    return {"mae": (outputs - targets).abs().mean().item()}


def train(run_dir: Path) -> tuple[str, int, float]:
    """Train, and read the result."""
    net = nn.Linear(2, 1)
    trainer = afina.Trainer(
        net,
        loss=squared_error,
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
        batch_size=4,
        microbatch_size="auto",
        max_epochs=2,
        patience=None,
        scores=scores,
        run_dir=run_dir,
    )
    result: Result = trainer.fit((torch.zeros(4, 2), torch.zeros(4, 1)), resume=False)
    by_name: dict[str, float] = trainer.evaluate((torch.zeros(4, 2), torch.zeros(4, 1)))
    return result.stop.why, result.stop.step, by_name["val/loss"]


def train_on_a_stream() -> Result:
    """Train on any iterable of batches."""
    return Trainer(nn.Linear(2, 1), loss=nn.MSELoss(), max_steps=2).fit(batches())


# What must not pass: an ignore that is not needed is an error, so these lines are checked as well.
afina.Trainer(nn.Linear(2, 1), los=nn.MSELoss())  # type: ignore[call-arg]
afina.Trainer(nn.Linear(2, 1), loss=nn.MSELoss(), batch_size="many")  # type: ignore[arg-type]
print(afina.Trainr)  # type: ignore[attr-defined]
