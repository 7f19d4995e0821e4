"""Memory: the activations alive while a window's gradient is computed, and none afterwards."""

import gc
import weakref
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from afina.train.batches import Batch
from afina.train.gradient import accumulate
from afina.train.loss import make_weighted_loss
from afina.train.window.norm import WindowNorm
from afina.train.window.replay import SavedTensors

LOSS = make_weighted_loss(nn.CrossEntropyLoss())
WIDTH, N_BLOCKS, N_ROWS = 32, 24, 256


class Block(nn.Module):
    """Normalization, linear and tanh, beside the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.linear(self.norm(x)))


class LiveBytes:
    """Count the bytes of all activations that are alive, whoever keeps them.

    Storages are followed by weak references, which die with the memory itself.
    """

    def __init__(self, model: nn.Module) -> None:
        self.storages: dict[int, tuple[weakref.ref, int]] = {}
        self.largest = 0
        for module in model.modules():
            if not list(module.children()):
                module.register_forward_hook(self.follow)

    def follow(self, _module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        storage = output.untyped_storage()
        self.storages[id(storage)] = (weakref.ref(storage), storage.nbytes())
        if output.requires_grad and output.grad_fn is not None:
            output.register_hook(self.measure)
        self.measure()

    def measure(self, _grad: Tensor | None = None) -> None:
        self.largest = max(self.largest, self.now())

    def now(self) -> int:
        self.storages = {k: v for k, v in self.storages.items() if v[0]() is not None}
        return sum(size for _, size in self.storages.values())


def peak(make: Callable[[nn.Module], Callable[[Sequence[Batch]], object]], n_parts: int) -> int:
    """Return the most bytes of activations alive at a time."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, WIDTH), *(Block() for _ in range(N_BLOCKS)))
    x, y = torch.randn(N_ROWS, 8), torch.randint(0, WIDTH, (N_ROWS,))
    parts = [Batch(a, b) for a, b in zip(x.chunk(n_parts), y.chunk(n_parts), strict=True)]
    live = LiveBytes(model)
    gc.disable()  # what only the collector would free counts as kept
    try:
        make(model)(parts)
        left = live.now()
    finally:
        gc.enable()
    assert left == 0
    return live.largest


def large(model: nn.Module) -> Callable[[Sequence[Batch]], object]:
    step = accumulate(LOSS, model)
    return lambda parts: step(parts, 1.0)


def windowed(n_groups: int) -> Callable:
    return lambda model: (
        WindowNorm(model, LOSS, model, n_groups=n_groups, keep_bytes=0).sum_gradient
    )


def test_a_fraction_of_the_large_batch_is_alive() -> None:
    """The peak is under 0.25 of the large batch's activations with 6 groups, under 0.15 with 12."""
    whole = peak(large, 1)

    assert peak(windowed(6), 8) < 0.25 * whole
    assert peak(windowed(12), 8) < 0.15 * whole


def test_fault_nothing_let_go_is_caught(monkeypatch) -> None:
    """Seeded fault: slots that keep their tensors have the large batch's memory."""
    monkeypatch.setattr(SavedTensors, "_keep_newest", lambda *_: None)

    assert peak(windowed(6), 8) > 0.9 * peak(large, 1)


@pytest.mark.parametrize("failing", [3, 20])
def test_a_failed_window_leaves_nothing(failing: int) -> None:
    """Once the error is dropped, no activation is alive: there is room for smaller micro-batches."""
    model = nn.Sequential(nn.Linear(8, WIDTH), *(Block() for _ in range(4)))
    n_calls = 0

    def forward(x: Tensor) -> Tensor:
        nonlocal n_calls
        n_calls += 1
        if n_calls == failing:
            raise MemoryError("too much")
        return model(x)

    live = LiveBytes(model)
    parts = [Batch(torch.randn(4, 8), torch.zeros(4, dtype=torch.int64)) for _ in range(8)]
    step = WindowNorm(model, LOSS, forward, n_groups=6, keep_bytes=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gc.disable()
    try:
        try:
            step.sum_gradient(parts)
        except MemoryError:
            failed = True
        left = live.now()
    finally:
        gc.enable()

    assert failed
    assert left == 0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
