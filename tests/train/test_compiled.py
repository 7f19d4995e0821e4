"""The compiled gradient is the plain one; what cannot be compiled is named."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from afina.errors import ConfigError
from afina.train import Trainer
from afina.train.batches import Batch, call_model
from afina.train.compiled import CompiledGradient, compiled_gradient
from afina.train.gradient import GradientMethod, accumulate, fused_mean
from afina.train.loss import make_weighted_loss
from afina.train.precision import with_autocast
from afina.train.rng import reseed_torch

CPU = torch.device("cpu")
# One gradient of these networks differs by 1e-15 on every processor tried: AVX-512, AVX2, none.
TOLERANCE = {"rtol": 0, "atol": 1e-12}

# Compiling takes seconds, more on a machine that has never done it.
pytestmark = pytest.mark.timeout(600)


def plain_plan(model: nn.Module, loss) -> GradientMethod:
    weighted = make_weighted_loss(loss)
    return GradientMethod(
        model=model,
        loss=weighted,
        forward=lambda x: call_model(model, x),
        sum_gradient=accumulate(weighted, lambda x: call_model(model, x)),
    )


@contextmanager
def compiled(model: nn.Module, loss) -> Iterator[CompiledGradient]:
    weighted = make_weighted_loss(loss)
    with compiled_gradient(model, weighted, lambda x: call_model(model, x), CPU) as gradient:
        yield gradient


def gradient_of(model: nn.Module, make: Callable[[], tuple[float, float]]) -> list[Tensor | float]:
    """Return loss, weight, the gradient and the buffers after one call with fixed randomness."""
    model.zero_grad(set_to_none=True)
    reseed_torch(0, "step", 1)
    loss, weight = make()
    grads = [torch.zeros(()) if p.grad is None else p.grad for p in model.parameters()]
    return [loss, weight, *grads, *(b.clone() for b in model.buffers())]


def mixed_network() -> nn.Module:
    """Make a network whose every parameter has a gradient worth the name.

    A bias before the batch normalization would have none: its gradient is rounding alone, which
    AdamW magnifies to whole steps (1e-10 a run, on every processor another; without it 4e-16).
    """
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 8, bias=False), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.3), nn.Linear(8, 4)
    ).double()


def rows(n: int) -> Batch:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n, 5, dtype=torch.float64, generator=generator)
    y = torch.randint(0, 4, (n,), generator=generator)
    y[::3] = -100
    return Batch(x, y, torch.rand(n, dtype=torch.float64, generator=generator) + 0.1)


def assert_same(expected: list, actual: list) -> None:
    for a, b in zip(expected, actual, strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)


def test_the_sum_over_uneven_parts_is_the_plain_one() -> None:
    """Gradients, loss, weight and running statistics agree to 1e-12, dropout's draws included."""
    plain_model = mixed_network()
    model = copy.deepcopy(plain_model)
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64))
    parts = [rows(7), rows(4), rows(7)]

    expected = gradient_of(
        plain_model, lambda: plain_plan(plain_model, loss).sum_gradient(parts, 8.0)
    )
    with compiled(model, loss) as gradient:
        actual = gradient_of(model, lambda: gradient.sum_gradient(parts, 8.0))

    assert_same(expected, actual)
    assert [3] == [int(b) for name, b in model.named_buffers() if "tracked" in name]
    assert list(plain_model.state_dict()) == list(model.state_dict())


def test_the_mean_of_one_part_is_the_plain_one() -> None:
    """Loss, weight, gradient and buffers of one batch agree to 1e-12."""
    plain_model = mixed_network()
    model = copy.deepcopy(plain_model)
    batch = rows(9)

    plan = plain_plan(plain_model, nn.CrossEntropyLoss())
    expected = gradient_of(plain_model, lambda: fused_mean(plan.loss, plan.forward)(batch))
    with compiled(model, nn.CrossEntropyLoss()) as gradient:
        actual = gradient_of(model, lambda: gradient.mean_gradient(batch))
        assert_same(expected, actual)

        model.zero_grad(set_to_none=True)
        nothing = batch._replace(y=torch.full((9,), -100))
        assert (0.0, 0.0) == gradient.mean_gradient(nothing)
        assert all(p.grad is None for p in model.parameters())


def test_the_bits_do_not_hang_on_what_ran_before() -> None:
    """A fit that meets shapes in another order, as after a resume, gets the same bits."""
    results = []
    for order in ([9, 4, 9], [4, 9]):
        model = mixed_network().float()
        with compiled(model, nn.CrossEntropyLoss()) as gradient:
            for n in order:
                batch = Batch(rows(n).x.float(), rows(n).y)
                at = copy.deepcopy(model.state_dict())
                result = gradient_of(model, lambda b=batch: gradient.mean_gradient(b))
                model.load_state_dict(at)
        results.append(result)

    for a, b in zip(*results, strict=True):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b))


class Tempered(nn.Module):
    """Has what a careless trace gets wrong: attributes that change, parameters that share."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = 1.0
        self.linear = nn.Linear(5, 4)
        self.shift, self.other_shift = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4))
        self.unused = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) / self.temperature + (self.shift + self.other_shift)


def test_what_changes_in_the_model_is_followed() -> None:
    """A changed attribute, a module frozen meanwhile and eval mode are seen at the next call."""
    torch.manual_seed(0)
    plain_model = Tempered().double()
    model = copy.deepcopy(plain_model)
    batch = rows(6)
    plan = plain_plan(plain_model, nn.CrossEntropyLoss())
    with compiled(model, nn.CrossEntropyLoss()) as gradient:
        for temperature, trained in ((1.0, True), (3.0, True), (3.0, False)):
            for each in (plain_model, model):
                each.temperature = temperature
                each.linear.weight.requires_grad_(trained)
            expected = gradient_of(plain_model, lambda: fused_mean(plan.loss, plan.forward)(batch))
            assert_same(expected, gradient_of(model, lambda: gradient.mean_gradient(batch)))
            assert (model.linear.weight.grad is not None) == trained
            assert model.unused.grad is None


def test_parameters_that_share_a_gradient_get_one_each() -> None:
    """Seeded fault: autograd gives both shifts one tensor, which a division in place hits twice."""
    model = Tempered().double()
    batch = rows(6)
    values, _ = make_weighted_loss(nn.CrossEntropyLoss()).values(model(batch.x), batch.y)
    first, second = torch.autograd.grad(values.sum(), [model.shift, model.other_shift])
    assert first.data_ptr() == second.data_ptr()

    with compiled(model, nn.CrossEntropyLoss()) as gradient:
        gradient.sum_gradient([batch], 1.0)
    once = model.shift.grad.clone()
    torch._foreach_div_([model.shift.grad, model.other_shift.grad], 2.0)
    assert torch.equal(once / 2, model.shift.grad)
    assert torch.equal(once / 2, model.other_shift.grad)


def fit(model: nn.Module, **settings) -> dict[str, Tensor]:
    """Train on 21 rows, whose last batch is smaller; give weights and buffers."""
    torch.manual_seed(1)
    x, y = torch.randn(21, 5, dtype=torch.float64), torch.arange(21) % 4
    resume = settings.pop("resume", False)
    trainer = Trainer(
        model, loss=nn.CrossEntropyLoss(), lr=0.01, batch_size=8, max_grad_norm=0.5, **settings
    )
    trainer.fit((x, y), val=(x, y), resume=resume)
    return model.state_dict()


@pytest.mark.parametrize("micro", [None, 5])
def test_a_whole_run_is_the_plain_one(micro: int | None) -> None:
    """With clipping, validation and the partial last batch; a second run gives the same bits.

    Rounding each initial weight once moves the end by up to 4e-16, so 1e-12 leaves room for any
    order of sums and still catches a dropped row, a wrong mask or a missed clip.
    """
    expected = fit(mixed_network(), max_epochs=3, microbatch_size=micro)
    first, second = (
        fit(mixed_network(), max_epochs=3, microbatch_size=micro, compile=True) for _ in range(2)
    )

    assert expected.keys() == first.keys()
    assert_same(list(expected.values()), list(first.values()))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_resumed_run_has_the_same_bits(tmp_path: Path) -> None:
    """A run that ended in the middle of an epoch and went on is the uninterrupted one."""
    whole = fit(mixed_network(), max_steps=8, compile=True)
    fit(mixed_network(), max_steps=4, compile=True, run_dir=tmp_path)
    resumed = fit(mixed_network(), max_steps=8, compile=True, run_dir=tmp_path, resume=True)

    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_half_precision_is_compiled_too() -> None:
    """Under bf16 autocast the compiled gradient is the plain one, to bf16's rounding."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 4))
    batch = Batch(rows(8).x.float(), rows(8).y)
    weighted = make_weighted_loss(nn.CrossEntropyLoss())
    forward = with_autocast(model, "bf16", CPU)
    expected = gradient_of(model, lambda: accumulate(weighted, forward)([batch], 1.0))
    with compiled_gradient(model, weighted, forward, CPU) as gradient:
        actual = gradient_of(model, lambda: gradient.sum_gradient([batch], 1.0))
    for a, b in zip(expected, actual, strict=True):
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.05)


class Branching(nn.Module):
    """Decides by a value, which no trace can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 4)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return self.linear(x) if x.sum() > 0 else self.linear(-x)


def test_a_model_that_cannot_be_traced_is_refused() -> None:
    """The error says so, and the model's buffers are as before."""
    model = Branching().double()
    with (
        compiled(model, nn.CrossEntropyLoss()) as gradient,
        pytest.raises(ConfigError, match=r"traced as a whole, but torch says: .*Leave compile out"),
    ):
        gradient.mean_gradient(rows(6))
    assert model.seen == 0


def test_the_models_own_error_is_shown() -> None:
    """An error that the plain way raises too comes as it is, not as one of the compiler's."""
    wrong = Batch(torch.zeros(6, 3), torch.zeros(6, dtype=torch.long))
    with (
        compiled(nn.Linear(5, 4), nn.CrossEntropyLoss()) as gradient,
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
    ):
        gradient.mean_gradient(wrong)
    with (
        compiled(nn.Linear(3, 4), lambda output, target: output.mean()) as gradient,
        pytest.raises(ConfigError, match="one value per row"),
    ):
        gradient.mean_gradient(wrong)


def test_too_many_shapes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """More shapes than may be compiled end with what to do, not with ever slower training."""
    monkeypatch.setattr("afina.train.compiled.MOST_SHAPES", 1)
    with compiled(nn.Linear(5, 4).double(), nn.CrossEntropyLoss()) as gradient:
        gradient.mean_gradient(rows(4))
        with pytest.raises(ConfigError, match="Pad to fewer shapes"):
            gradient.mean_gradient(rows(5))


def test_a_missing_compiler_is_named_before_training() -> None:
    """Without any C++ compiler on the path, the error says what to install."""
    program = (
        "import torch; from afina.errors import ConfigError\n"
        "from afina.train.compiled import check_compiler\n"
        "try: check_compiler(torch.device('cpu'))\n"
        "except ConfigError as error: print(error)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("CXX", "CC")}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "needs a C++ compiler on the CPU, but none was found. Install g++" in result.stdout
