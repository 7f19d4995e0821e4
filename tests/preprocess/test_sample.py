"""A sample of a column: its distinct values, whatever the rows' order and number."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afina.preprocess.sample import Sample, column_samples, deviation, mean, quantiles

LEVELS = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0], dtype=torch.float64)


@st.composite
def weighted(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one column with ties and missing values, and whole weights that are not all equal."""
    value = st.one_of(
        st.integers(-3, 3).map(float),
        st.floats(allow_nan=False, allow_infinity=False),
        st.just(math.nan),
    )
    rows = draw(st.lists(st.tuples(value, st.integers(0, 4)), min_size=1, max_size=12))
    x, w = zip(*rows, strict=True)
    weights = torch.tensor(w, dtype=torch.float64)
    there = weights[weights > 0]
    if len(there) and there.min() == there.max() != 1:
        weights = weights.clamp(max=1)
    return torch.tensor(x, dtype=torch.float64).reshape(-1, 1), weights


def statistics(sample: Sample) -> tuple[object, ...]:
    """Return all figures of a sample."""
    return (mean(sample), deviation(sample), *quantiles(sample, LEVELS).tolist(), sample.n_rows)


@given(weighted())
def test_a_whole_weight_is_the_row_that_often_bit_for_bit(
    table: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """Every statistic of weighted rows equals that of the repeated rows in every bit."""
    x, w = table
    one, *_ = column_samples(x, w)
    other, *_ = column_samples(x.repeat_interleave(w.long(), dim=0), None)

    assert statistics(one) == statistics(other)
    assert one.has_missing == other.has_missing


@given(weighted(), st.sampled_from([0.1, 1.0, 3.0, 1e300, 1e-300]))
def test_equal_weights_are_no_weights_bit_for_bit(
    table: tuple[torch.Tensor, torch.Tensor], weight: float
) -> None:
    """Equal weights, of whatever size, change no bit."""
    x, _ = table
    one, *_ = column_samples(x, torch.full((len(x),), weight, dtype=torch.float64))
    other, *_ = column_samples(x, None)

    assert statistics(one) == statistics(other)


@given(weighted(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(table, shuffler) -> None:
    """Rows in another order give the same bits."""
    x, w = table
    order = list(range(len(x)))
    shuffler.shuffle(order)

    assert statistics(column_samples(x, w)[0]) == statistics(column_samples(x[order], w[order])[0])


@given(weighted(), st.floats(-1e6, 1e6))
def test_a_row_of_weight_0_does_not_exist(table, value: float) -> None:
    """Whatever stands in rows of weight 0, NaN too, no bit changes."""
    x, w = table
    more = torch.tensor([[value], [math.nan]], dtype=torch.float64)
    one = column_samples(x, w)[0]
    other = column_samples(torch.cat([x, more]), torch.cat([w, torch.zeros(2)]))[0]

    assert statistics(one) == statistics(other)
    assert one.has_missing == other.has_missing


def test_the_repetition_test_catches_a_plain_weighted_mean() -> None:
    """Seeded fault: sums in the order of the rows differ from those of the repeated rows."""
    x = torch.tensor([0.1, 0.2, 0.3, 0.7, 1.1], dtype=torch.float64)
    w = torch.tensor([3.0, 1.0, 7.0, 2.0, 3.0], dtype=torch.float64)
    weighted_mean = (x * w).sum() / w.sum()
    repeated_mean = x.repeat_interleave(w.long()).sum() / w.sum()

    assert weighted_mean != repeated_mean
    assert mean(column_samples(x[:, None], w)[0]) == pytest.approx(float(repeated_mean))


@given(weighted())
def test_statistics_are_those_of_numpy(table) -> None:
    """Mean, deviation and quantiles are numpy's of the repeated rows, to rounding."""
    x, w = table
    repeated = x[:, 0].repeat_interleave(w.long()).numpy()
    values = repeated[~np.isnan(repeated)]
    if len(values) == 0 or np.abs(values).max() > 1e150 or 0 < np.abs(values).max() < 1e-150:
        return
    sample = column_samples(x, w)[0]
    size = np.abs(values).max() * 1e-14

    assert mean(sample) == pytest.approx(values.mean(), rel=1e-12, abs=size)
    assert deviation(sample) == pytest.approx(values.std(), rel=1e-9, abs=size)
    assert quantiles(sample, LEVELS).numpy() == pytest.approx(
        np.quantile(values, LEVELS.numpy()), rel=1e-12, abs=size
    )


def test_weights_that_are_not_whole_add_up_to_the_number_of_rows() -> None:
    """Weights in any unit (kilograms, shares) give the same figures, near those of whole ones."""
    x = torch.arange(200, dtype=torch.float64)[:, None]
    w = (torch.arange(200) % 3 + 1).to(torch.float64)
    whole = statistics(column_samples(x, w)[0])
    for unit in (0.3, 1e-200, 1e200):
        found = statistics(column_samples(x, w * unit)[0])
        assert found[:-1] == pytest.approx(whole[:-1], rel=0.01, abs=0.5)
        assert found[-1] == pytest.approx(200)


def test_values_far_from_0_keep_their_differences() -> None:
    """Nanosecond timestamps have the deviation of their differences, not of rounding."""
    x = 1.7e18 + 1e9 * torch.arange(1000, dtype=torch.float64)
    sample = column_samples(x[:, None], None)[0]

    assert deviation(sample) == pytest.approx(1e9 * np.arange(1000).std(), rel=1e-12)
    assert mean(sample) == pytest.approx(1.7e18 + 1e9 * 499.5, rel=1e-15)


@pytest.mark.parametrize("size", [1.7e308, 1e200, 1e-200, 1e-307])
def test_extreme_values_neither_overflow_nor_vanish(size: float) -> None:
    """Values near the ends of float64 have a mean, a deviation and quantiles."""
    sample = column_samples(
        torch.tensor([[-size], [size], [size], [-size]], dtype=torch.float64), None
    )[0]

    assert mean(sample) == 0
    assert deviation(sample) == pytest.approx(size)
    assert quantiles(sample, LEVELS[[0, 3, 6]]).tolist() == pytest.approx([-size, 0, size])


def test_a_column_without_values_has_zeros() -> None:
    """An empty or all-missing column has statistics of 0 and says that values are missing."""
    nan = column_samples(torch.full((3, 1), math.nan), None)[0]
    none = column_samples(torch.zeros(0, 1), None)[0]

    assert statistics(nan) == (0.0, 0.0, *[0.0] * 7, 3.0)
    assert nan.has_missing
    assert not none.has_missing


@pytest.mark.parametrize(
    ("x", "weights"),
    [
        (torch.zeros(3), None),
        (torch.full((1, 1), math.inf), None),
        (torch.zeros(3, 1), torch.ones(2)),
        (torch.zeros(3, 1), torch.ones(3, 1)),
        (torch.zeros(2, 1), torch.tensor([1.0, -1.0])),
        (torch.zeros(2, 1), torch.tensor([1.0, math.nan])),
    ],
)
def test_what_cannot_be_is_refused(x: torch.Tensor, weights: torch.Tensor | None) -> None:
    """Infinite values, weights below 0 or of another number raise ValueError."""
    with pytest.raises(ValueError, match=r"must (be|have)"):
        column_samples(x, weights)
