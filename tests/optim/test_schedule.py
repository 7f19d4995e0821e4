import math
from typing import get_args

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR

from afina.optim import ScheduleName, make_schedule

names = st.sampled_from(get_args(ScheduleName))


def optimizer() -> torch.optim.Optimizer:
    """Make an optimizer of learning rate 1, to hang torch's schedulers on."""
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)


def course_of(scheduler: LRScheduler, steps: int) -> list[float]:
    """Record the learning rates that torch's scheduler gives for steps 0, 1, ..."""
    found = [scheduler.optimizer.param_groups[0]["lr"]]
    for _ in range(steps - 1):
        scheduler.optimizer.step()
        scheduler.step()
        found.append(scheduler.optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_cosine_is_torchs(n: int) -> None:
    """The cosine equals CosineAnnealingLR."""
    factor = make_schedule("cosine", total_steps=n)
    theirs = course_of(CosineAnnealingLR(optimizer(), T_max=n), n)

    assert [factor(step) for step in range(n)] == pytest.approx(theirs, abs=1e-12)
    assert factor(n) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("n", [8, 10, 97, 1000])
def test_onecycle_is_torchs(n: int) -> None:
    """One cycle equals OneCycleLR with a quarter of rise, from 1/25 and down to 1e-4."""
    factor = make_schedule("onecycle", total_steps=n)
    twin = OneCycleLR(
        optimizer(),
        max_lr=1.0,
        total_steps=n,
        pct_start=0.25,
        div_factor=25,
        final_div_factor=400,
        cycle_momentum=False,
    )
    theirs = course_of(twin, n)

    assert [factor(step) for step in range(n)] == pytest.approx(theirs, abs=1e-12)
    assert factor(0) == pytest.approx(1 / 25)
    assert factor(n - 1) == pytest.approx(1e-4)


def test_warmup_is_torchs_linear() -> None:
    """The warm-up before a constant equals LinearLR from 1/n."""
    factor = make_schedule("constant", total_steps=20, warmup_steps=5)
    theirs = course_of(LinearLR(optimizer(), start_factor=1 / 5, total_iters=4), 20)

    assert [factor(step) for step in range(20)] == pytest.approx(theirs, abs=1e-12)


def test_warmup_then_cosine() -> None:
    """After the warm-up the cosine runs over the steps that are left."""
    factor = make_schedule("cosine", total_steps=12, warmup_steps=4)

    assert [factor(s) for s in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert [factor(4 + s) for s in range(9)] == pytest.approx(
        [(1 + math.cos(math.pi * s / 8)) / 2 for s in range(9)]
    )


@pytest.mark.parametrize("n", [1, 2, 9, 256])
def test_flat_cos_is_its_formula(n: int) -> None:
    """flat_cos is 1 up to the middle, then (1 + cos(pi (2 t - 1))) / 2 with t the share done."""
    factor = make_schedule("flat_cos", total_steps=n)
    shares = [step / n for step in range(n + 1)]
    wanted = [1.0 if t < 0.5 else (1 + math.cos(math.pi * (2 * t - 1))) / 2 for t in shares]

    assert [factor(step) for step in range(n + 1)] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 15, 256])
def test_coslog4_is_its_formula(n: int) -> None:
    """coslog4 is (1 - cos(2 pi log2(1 + 15 t))) / 2 with t the share done in the middle of a step.

    With 256 steps it is near 0 around steps 0, 17, 51, 119 and 256, and near 1 in between.
    """
    factor = make_schedule("coslog4", total_steps=n)
    shares = [(step + 0.5) / n for step in range(n)]
    wanted = [(1 - math.cos(2 * math.pi * math.log2(1 + 15 * t))) / 2 for t in shares]

    assert [factor(step) for step in range(n)] == pytest.approx(wanted, abs=1e-12)
    if n == 256:
        assert max(factor(step) for step in (0, 17, 51, 119, 255)) < 0.02
        peaks = [256 * (2 ** (wave + 0.5) - 1) / 15 for wave in range(4)]
        assert min(factor(round(peak - 0.5)) for peak in peaks) > 0.98


@given(names, st.integers(1, 300), st.integers(0, 400), st.integers(0, 1000))
def test_factors_are_finite_and_pure(name: str, total: int, warmup: int, step: int) -> None:
    """Any step of any schedule has one factor in [0, 1], however often and late it is asked."""
    warmup = 0 if name == "coslog4" else warmup
    factor = make_schedule(name, total_steps=total, warmup_steps=warmup)

    assert 0.0 <= factor(step) <= 1.0
    assert factor(step) == factor(step)
    assert factor(step) == make_schedule(name, total_steps=total, warmup_steps=warmup)(step)


@given(names, st.integers(1, 300))
def test_the_full_rate_is_reached(name: str, total: int) -> None:
    """Every schedule comes close to the full learning rate somewhere, if it has some steps."""
    total = max(total, 8) if name == "coslog4" else total
    factor = make_schedule(name, total_steps=total)

    assert max(factor(step) for step in range(total)) > 0.85


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "step", "total_steps": 5}, "schedule must be one of constant, cosine, onecycle"),
        (
            {"name": "coslog4", "total_steps": 5, "warmup_steps": 1},
            "coslog4 must be used without warm-up",
        ),
        ({"name": "cosine", "total_steps": 0}, "total_steps must be at least 1"),
        ({"name": "cosine", "total_steps": 5, "warmup_steps": -1}, "warmup_steps must be at"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    """An argument that cannot be is named."""
    with pytest.raises(ValueError, match=message):
        make_schedule(**arguments)


def test_negative_steps_are_refused() -> None:
    """There is no step before the first."""
    with pytest.raises(ValueError, match="step must be at least 0"):
        make_schedule("constant", total_steps=5)(-1)
