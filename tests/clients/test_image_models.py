"""Image classifiers of timm and torchvision train as in a loop written by hand."""

import copy
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD

import afina

N_CLASSES = 3


def vit(timm: ModuleType) -> nn.Module:
    return timm.create_model("test_vit", img_size=32, num_classes=N_CLASSES)


def resnet(timm: ModuleType) -> nn.Module:
    return timm.create_model("test_resnet", num_classes=N_CLASSES)


def resnet18(torchvision: ModuleType) -> nn.Module:
    return torchvision.models.resnet18(num_classes=N_CLASSES)


@pytest.fixture(params=[vit, resnet, resnet18], ids=lambda make: make.__name__)
def model(request: pytest.FixtureRequest) -> nn.Module:
    """Make a model in float64."""
    make = request.param
    package = "torchvision" if make is resnet18 else "timm"
    return make(request.getfixturevalue(package)).double()


@pytest.mark.parametrize("microbatch_size", [None, 3])
def test_a_model_is_that_of_a_loop_by_hand(
    model: nn.Module,
    image_batches: list[tuple[Tensor, Tensor]],
    by_hand: Callable[..., None],
    difference: Callable[[nn.Module, nn.Module], float],
    microbatch_size: int | None,
) -> None:
    """Weights and running statistics are equal to 1e-10, with and without micro-batches."""
    theirs = copy.deepcopy(model)
    by_hand(theirs, image_batches, cross_entropy, SGD(theirs.parameters(), lr=0.01, momentum=0.9))
    window = {} if microbatch_size is None else {"batchnorm": "window"}

    trainer = afina.Trainer(
        model,
        loss=nn.CrossEntropyLoss(),
        optimizer=SGD(model.parameters(), lr=0.01, momentum=0.9),
        microbatch_size=microbatch_size,
        max_epochs=1,
        **window,
    )
    trainer.fit(image_batches)

    assert difference(model, theirs) <= 1e-10
    x = torch.cat([x for x, _ in image_batches])
    with torch.no_grad():
        assert torch.allclose(trainer.predict(x), theirs.eval()(x), atol=1e-10)


def auxiliary_loss(outputs: Tensor | tuple[Tensor, Tensor, Tensor], y: Tensor) -> Tensor:
    """Return the loss of GoogLeNet's paper: the auxiliary classifiers count 0.3 each."""
    if isinstance(outputs, Tensor):  # in eval mode
        return cross_entropy(outputs, y, reduction="none")
    main, first, second = (cross_entropy(logits, y, reduction="none") for logits in outputs)
    return main + 0.3 * (first + second)


def test_auxiliary_outputs_go_to_the_loss(
    torchvision: ModuleType,
    image_batches: list[tuple[Tensor, Tensor]],
    by_hand: Callable[..., None],
    difference: Callable[[nn.Module, nn.Module], float],
) -> None:
    """GoogLeNet returns a named tuple while it trains and a tensor in eval mode."""
    model = torchvision.models.googlenet(
        num_classes=N_CLASSES, init_weights=False, dropout=0.0, dropout_aux=0.0
    ).double()
    theirs = copy.deepcopy(model)
    by_hand(theirs, image_batches, auxiliary_loss, SGD(theirs.parameters(), lr=0.01))

    trainer = afina.Trainer(
        model, loss=auxiliary_loss, optimizer=SGD(model.parameters(), lr=0.01), max_epochs=1
    )
    result = trainer.fit(image_batches, image_batches)

    assert difference(model, theirs) <= 1e-10
    x, y = (torch.cat(parts) for parts in zip(*image_batches, strict=True))
    with torch.no_grad():
        expected = cross_entropy(theirs.eval()(x), y)
    assert result.stop.best == pytest.approx(float(expected), abs=1e-10)
