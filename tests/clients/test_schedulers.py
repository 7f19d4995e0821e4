"""Schedulers of torch, passed as objects, train as in a loop by hand."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

import afina

EPOCHS = 4


def make_model() -> nn.Module:
    """Make a small convolutional network with batch normalization."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=4),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).double()


def test_one_cycle_changes_the_momentum_too(
    image_batches: list[tuple[Tensor, Tensor]],
    by_hand: Callable[..., None],
    difference: Callable[[nn.Module, nn.Module], float],
) -> None:
    """It takes a step after each step of the optimizer."""
    model = make_model()
    theirs = copy.deepcopy(model)
    n_steps = EPOCHS * len(image_batches)
    optimizer = AdamW(theirs.parameters())
    scheduler = OneCycleLR(optimizer, max_lr=0.1, total_steps=n_steps)
    by_hand(
        theirs, image_batches, cross_entropy, optimizer, epochs=EPOCHS, after_step=scheduler.step
    )

    ours = AdamW(model.parameters())
    schedule = OneCycleLR(ours, max_lr=0.1, total_steps=n_steps)
    loss = nn.CrossEntropyLoss()
    trainer = afina.Trainer(model, loss=loss, optimizer=ours, schedule=schedule, max_epochs=EPOCHS)
    trainer.fit(image_batches)

    assert difference(model, theirs) <= 1e-10


def test_reduce_on_plateau_follows_the_validation_loss(
    image_batches: list[tuple[Tensor, Tensor]],
    by_hand: Callable[..., None],
    difference: Callable[[nn.Module, nn.Module], float],
) -> None:
    """It sees the loss on the validation rows after each epoch, and lowers the rate."""
    train, val = image_batches[:1], image_batches[1:]
    model = make_model()
    theirs = copy.deepcopy(model)
    losses: list[float] = []
    copies: list[nn.Module] = []
    optimizer = SGD(theirs.parameters(), lr=1.0)
    scheduler = ReduceLROnPlateau(optimizer, patience=0, threshold=0.2)

    def validate() -> None:
        with torch.no_grad():
            losses.append(float(cross_entropy(theirs.eval()(val[0][0]), val[0][1])))
        copies.append(copy.deepcopy(theirs))
        scheduler.step(losses[-1])

    by_hand(theirs, train, cross_entropy, optimizer, epochs=EPOCHS, after_epoch=validate)
    assert optimizer.param_groups[0]["lr"] < 1.0

    ours = SGD(model.parameters(), lr=1.0)
    schedule = ReduceLROnPlateau(ours, patience=0, threshold=0.2)
    loss = nn.CrossEntropyLoss()
    trainer = afina.Trainer(model, loss=loss, optimizer=ours, schedule=schedule, max_epochs=EPOCHS)
    trainer.fit(train, val)

    assert difference(model, copies[losses.index(min(losses))]) <= 1e-10
