"""Randomness as a function of (seed, purpose, index)."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afina.train import rng

SEEDS = st.integers(0, 2**63 - 1)


@given(SEEDS, st.integers(0, 10**9))
def test_streams_do_not_meet(seed: int, index: int) -> None:
    """Each seed, purpose and index has its own stream."""
    seeds = {
        rng.stream_seed(seed, "order", index),
        rng.stream_seed(seed, "step", index),
        rng.stream_seed(seed, "order", index + 1),
        rng.stream_seed(seed + 1, "order", index),
    }

    assert len(seeds) == 4
    assert all(0 <= s < 2**63 for s in seeds)


def test_reseeding_gives_the_same_numbers_from_any_state() -> None:
    """torch, numpy and random depend on (seed, purpose, index) only, not on earlier draws."""

    def draw() -> tuple[float, float, float]:
        rng.reseed_everything(1, "data/0", 7)
        return torch.rand(1).item(), np.random.rand(), random.random()

    with rng.isolated():
        first = draw()
        torch.rand(100)
        random.random()
        assert draw() == first


def test_isolated_gives_the_generators_back_also_after_an_error() -> None:
    """The caller's generators are restored."""
    before = (torch.get_rng_state(), random.getstate())

    def draw_and_fail() -> None:
        with rng.isolated():
            rng.reseed_everything(0, "step", 0)
            torch.rand(3)
            raise KeyError

    with pytest.raises(KeyError):
        draw_and_fail()

    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


@pytest.mark.parametrize("before", [True, False])
def test_deterministic_is_put_back(before: bool) -> None:
    """Inside, torch's deterministic kernels are on; afterwards the setting is restored."""
    was = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    try:
        torch.use_deterministic_algorithms(before)
        with rng.deterministic():
            assert torch.are_deterministic_algorithms_enabled()
        assert torch.are_deterministic_algorithms_enabled() is before
        assert torch.utils.deterministic.fill_uninitialized_memory is fill
    finally:
        torch.use_deterministic_algorithms(was)
