"""Windows that do not fit: halved or scaled down, as if the failed attempt had not happened."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from afina.errors import AfinaWarning, ConfigError, NonFiniteError
from afina.train import Trainer
from afina.train.gradient import is_out_of_memory
from afina.train.precision import FIRST_SCALE
from afina.train.run.checkpoint import read_newest

CPU_ALLOCATION = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
)


class Small(nn.Module):
    """Fails like an allocator above a number of rows, after the layers before it had their effects."""

    def __init__(self, most: int, error: Exception | None = None, after: int = 0) -> None:
        super().__init__()
        self.most, self.after, self.calls = most, after, 0
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.training and len(x) > self.most and self.calls > self.after:
            raise self.error
        return x


def network(most: int = 10**9, error: Exception | None = None, after: int = 0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 16),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Dropout(0.3),
        Small(most, error, after),
        nn.Linear(16, 3),
    )


def rows(n: int = 100, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=generator), torch.randint(0, 3, (n,), generator=generator)


def fit(model: nn.Module, run: Path | None = None, **settings) -> dict[str, Tensor]:
    arguments = {"loss": nn.CrossEntropyLoss(), "lr": 0.01, "batch_size": 32, "max_epochs": 3}
    data, val = settings.pop("data", rows()), settings.pop("val", rows(40, 1))
    trainer = Trainer(model, run_dir=run, **arguments | settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AfinaWarning)
        trainer.fit(data, val)
    return model.state_dict()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError(CPU_ALLOCATION),
        MemoryError(),
    ],
)
@pytest.mark.parametrize(("most", "size"), [(16, 16), (9, 8), (3, 2)])
def test_auto_equals_the_run_at_the_size_found(error, most, size, tmp_path) -> None:
    """Halving until it fits leaves no trace: weights, running statistics and log are equal."""
    found = fit(network(most, error), tmp_path / "auto", microbatch_size="auto")
    given = fit(network(), tmp_path / "given", microbatch_size=size)

    assert same(found, given)
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("auto", "given")]
    assert logs[0] == logs[1]


def test_seeded_fault_kept_buffers_are_caught(monkeypatch) -> None:
    """Seeded fault: if the failed attempt's running statistics stay, the comparison above fails."""
    monkeypatch.setattr("afina.train.gradient.Buffers.restore", lambda self: None)

    found = fit(network(9), microbatch_size="auto")
    assert not same(found, fit(network(), microbatch_size=8))


def test_seeded_fault_random_numbers_go_on_are_caught(monkeypatch) -> None:
    """Seeded fault: if the second attempt continues the first one's random stream, dropout differs."""
    seen = set()

    def once(seed: int, purpose: str, index: int) -> None:
        if (seed, index) not in seen:
            torch.manual_seed(1000 * seed + index)
        seen.add((seed, index))

    monkeypatch.setattr("afina.train.gradient.reseed_torch", once)
    found = fit(network(9), microbatch_size="auto")
    seen.clear()
    assert not same(found, fit(network(), microbatch_size=8))


def test_memory_that_runs_out_later_halves_that_step(tmp_path: Path) -> None:
    """In the middle of a run the same step is run again; without dropout nothing differs."""

    def net(after: int) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), Small(9, after=after), nn.Linear(8, 3))

    data = (rows()[0].double(), rows()[1])
    late = {"data": data, "val": None, "microbatch_size": "auto"}
    found = fit(net(5).double(), **late)
    whole = fit(net(10**9).double(), **late)

    for name, value in found.items():
        torch.testing.assert_close(value, whole[name], rtol=0, atol=1e-9)


def test_one_row_that_does_not_fit_is_an_error() -> None:
    """When one row does not fit, the error says so."""
    model = nn.Sequential(nn.Linear(4, 3), Small(0))
    with pytest.raises(ConfigError, match="step 1: at least one row must fit"):
        fit(model, microbatch_size="auto")


def test_without_auto_the_error_is_the_users() -> None:
    """With a fixed microbatch_size, torch's out-of-memory error is raised unchanged."""
    with pytest.raises(torch.OutOfMemoryError):
        fit(network(9), microbatch_size=16)


def test_other_errors_are_not_memory() -> None:
    """Only failed allocations are retried."""
    assert is_out_of_memory(RuntimeError(CPU_ALLOCATION))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


class Steep(nn.Module):
    """Multiplies small gradients, so that fp16 overflows at a large loss scale."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 60.0


def test_fp16_lowers_the_scale_and_repeats_the_step(tmp_path: Path) -> None:
    """An overflow costs no row and no step: the scale is halved until the gradient is finite."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), Steep(), nn.Linear(16, 3))
    steps = []
    fit(model, tmp_path, precision="fp16", val=None, observers=[steps.append])
    snapshot, _ = read_newest(tmp_path / "checkpoints")

    assert 1.0 <= snapshot.state["loss_scale"] < FIRST_SCALE

    assert [e.step for e in steps if type(e).__name__ == "StepEvent"] == list(range(1, 13))
    assert int(model[1].num_batches_tracked) == 12
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_fp16_that_overflows_at_any_scale_is_an_error() -> None:
    """A gradient that no scale makes finite stops the run before the step."""

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return torch.full_like(grad, float("inf"))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return Broken.apply(self.layer(x))

    with pytest.raises(NonFiniteError, match="even with the smallest loss scale"):
        fit(Net(), precision="fp16")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_close_to_float32(precision) -> None:
    """Weights stay float32 and end near those of float32 training; evaluation is in float32."""
    half = fit(network(), precision=precision, lr=1e-3)
    full = fit(network(), lr=1e-3)

    assert all(half[k].dtype == v.dtype for k, v in full.items())
    assert not same(half, full)
    for name, value in full.items():
        torch.testing.assert_close(half[name], value, rtol=0.1, atol=0.1)
