"""torch's optimizers train as in a loop written by hand, and resume bit for bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn, optim
from torch.nn.functional import mse_loss
from torch.optim import Optimizer

import afina
from afina.errors import ConfigError

GENERATOR = torch.Generator().manual_seed(0)
NUMBERS = torch.randn(32, 4, dtype=torch.float64, generator=GENERATOR)
BATCHES = list(zip(NUMBERS.split(8), NUMBERS[:, :2].split(8), strict=True))

OPTIMIZERS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "Adadelta": lambda p: optim.Adadelta(p, lr=1.0),
    "Adafactor": lambda p: optim.Adafactor(p, lr=0.01),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.01),
    "Adam": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "Adamax": lambda p: optim.Adamax(p, lr=0.01),
    "ASGD": lambda p: optim.ASGD(p, lr=0.01),
    "Muon": lambda p: optim.Muon(p, lr=0.01),
    "NAdam": lambda p: optim.NAdam(p, lr=0.01),
    "RAdam": lambda p: optim.RAdam(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "Rprop": lambda p: optim.Rprop(p, lr=0.01),
    "SGD": lambda p: optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
}


def make_model(name: str) -> nn.Module:
    """Make a small model, which has only matrices for Muon."""
    torch.manual_seed(0)
    bias = name != "Muon"
    layers = [nn.Linear(4, 8, bias=bias), nn.Tanh(), nn.Linear(8, 2, bias=bias)]
    return nn.Sequential(*layers).double()


def fit(name: str, *, epochs: int = 4, folder: Path | None = None, resume: bool = False):
    """Train with afina and return the model."""
    model = make_model(name)
    trainer = afina.Trainer(
        model,
        loss=nn.MSELoss(),
        optimizer=OPTIMIZERS[name](list(model.parameters())),
        max_epochs=epochs,
        run_dir=folder,
    )
    trainer.fit(BATCHES, resume=resume)
    return model


# SparseAdam needs sparse gradients, and LBFGS a loss that it can call many times for one step.
REFUSED: dict[str, tuple[Callable[[list[nn.Parameter]], Optimizer], nn.Module]] = {
    "SparseAdam": (optim.SparseAdam, nn.EmbeddingBag(6, 2, sparse=True)),
    "LBFGS": (optim.LBFGS, nn.Linear(4, 2)),
}


def test_no_optimizer_of_torch_is_missing() -> None:
    """Each one is either tried here or refused."""
    classes = {name for name, value in vars(optim).items() if isinstance(value, type)}

    assert classes - {"Optimizer"} == OPTIMIZERS.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", REFUSED)
def test_the_others_are_refused_by_name(name: str) -> None:
    """What cannot train is an error of afina, and no parameter has changed."""
    make, model = REFUSED[name]
    before = [p.clone() for p in model.parameters()]
    x = torch.randn(8, 4) if name == "LBFGS" else torch.randint(6, (8, 3))
    optimizer = make(list(model.parameters()))

    with pytest.raises(ConfigError, match=r"LBFGS|sparse gradient"):
        afina.Trainer(model, loss=nn.MSELoss(), optimizer=optimizer).fit((x, torch.zeros(8, 2)))

    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_that_of_a_loop_by_hand(
    name: str,
    by_hand: Callable[..., None],
    difference: Callable[[nn.Module, nn.Module], float],
) -> None:
    """The weights are equal to 1e-10."""
    theirs = make_model(name)
    optimizer = OPTIMIZERS[name](list(theirs.parameters()))
    by_hand(theirs, BATCHES, mse_loss, optimizer, epochs=4)

    ours = fit(name)

    assert difference(ours, theirs) <= 1e-10
    assert difference(ours, make_model(name)) > 1e-3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_resumed(
    name: str, tmp_path: Path, difference: Callable[[nn.Module, nn.Module], float]
) -> None:
    """A run that was saved after two epochs and resumed ends as the uninterrupted one."""
    fit(name, epochs=2, folder=tmp_path / "run")
    resumed = fit(name, folder=tmp_path / "run", resume=True)

    assert difference(resumed, fit(name)) == 0.0
