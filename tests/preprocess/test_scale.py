"""Scalers give scikit-learn's figures, and finite ones."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.preprocessing as reference
import torch
from hypothesis import given
from hypothesis import strategies as st

from afina.preprocess import Identity, MinMax, QuantileNormal, Robust, Standardize, smooth_clip

Scaler = MinMax | Standardize | Robust | QuantileNormal | Identity
SCALERS = [MinMax, Standardize, Robust, QuantileNormal, Identity]
scalers = pytest.mark.parametrize("make", SCALERS)


def doubles(*rows: float) -> torch.Tensor:
    """Make one column of float64."""
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 1)


def state_bytes(module: torch.nn.Module) -> dict[str, bytes]:
    """Return every byte that was fitted."""
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


@pytest.fixture
def table(rng: np.random.Generator) -> torch.Tensor:
    """Return columns of many kinds: normal, far from 0, skewed, few values, tiny, with NaN."""
    n = 300
    columns = [
        rng.normal(size=n),
        1e9 + rng.normal(size=n),
        rng.exponential(size=n) ** 3,
        rng.integers(0, 4, n).astype(float),
        1e-9 * rng.normal(size=n),
        np.where(rng.random(n) < 0.2, math.nan, rng.normal(size=n)),
    ]
    return torch.tensor(np.stack(columns, axis=1))


def test_min_max_is_that_of_scikit_learn(table: torch.Tensor) -> None:
    """`MinMax` gives MinMaxScaler's figures."""
    theirs = reference.MinMaxScaler().fit(table.numpy())
    ours = MinMax().fit(table)

    np.testing.assert_allclose(ours.center, theirs.data_min_, rtol=1e-15)
    np.testing.assert_allclose(ours.scale, theirs.scale_, rtol=1e-12)
    np.testing.assert_allclose(
        ours(table), theirs.transform(table.numpy()), rtol=1e-6, atol=1e-6, equal_nan=True
    )


def test_standardize_is_that_of_scikit_learn(table: torch.Tensor) -> None:
    """`Standardize` gives StandardScaler's figures, with weights too."""
    weights = torch.arange(len(table)) % 4
    theirs = reference.StandardScaler().fit(table.numpy(), sample_weight=weights.numpy())
    ours = Standardize().fit(table, weights)

    np.testing.assert_allclose(ours.center, theirs.mean_, rtol=1e-12, atol=1e-20)
    np.testing.assert_allclose(1 / ours.scale, theirs.scale_, rtol=1e-6)
    np.testing.assert_allclose(
        ours(table), theirs.transform(table.numpy()), rtol=1e-5, atol=1e-5, equal_nan=True
    )


def test_robust_is_that_of_scikit_learn_and_clipped(table: torch.Tensor) -> None:
    """`Robust` before its clip gives RobustScaler's figures."""
    theirs = reference.RobustScaler().fit(table.numpy())
    ours = Robust().fit(table)
    scaled = torch.tensor(theirs.transform(table.numpy()))

    np.testing.assert_allclose(ours.center, theirs.center_, rtol=1e-14)
    np.testing.assert_allclose(1 / ours.scale, theirs.scale_, rtol=1e-6)  # 1e9 + noise
    np.testing.assert_allclose(
        ours(table), scaled / torch.sqrt(1 + (scaled / 3) ** 2), rtol=1e-5, atol=1e-6
    )


def test_robust_takes_half_the_range_where_the_quartiles_are_equal() -> None:
    """A column of mostly one value is scaled by 2 / (max - min)."""
    x = doubles(*[5.0] * 9, 15.0)

    assert Robust().fit(x).scale.tolist() == [0.2]
    assert Robust().fit(x)(x)[-1].item() == pytest.approx(2 / math.sqrt(1 + 4 / 9))


def test_smooth_clip_stays_inside_its_limit_and_keeps_the_order() -> None:
    """The clip is odd, rises, starts with slope 1, and never leaves (-limit, limit)."""
    x = torch.linspace(-50, 50, 1001, dtype=torch.float64)
    y = smooth_clip(x)

    assert (y.diff() > 0).all()
    assert y.abs().max() < 3
    torch.testing.assert_close(y, -y.flip(0))
    torch.testing.assert_close(smooth_clip(doubles(1e-4)), doubles(1e-4), rtol=1e-8, atol=0)
    for huge in (1e20, 3e38, math.inf):
        assert smooth_clip(torch.tensor(huge)).item() == 3.0


@scalers
@pytest.mark.parametrize(
    "column",
    [
        [1.7e18, 1.7e18 + 1e9, 1.7e18 + 5e9],
        [1e30, -1e30, 0.0],
        [1e-300, 2e-300, 3e-300],
        [5e-324, 0.0, 1e-323],
        [1.7e308, -1.7e308, 0.0],
        [7.0, 7.0, 7.0],
        [math.nan, math.nan],
        [3.0],
        [0.0, 1.0, math.nan],
        [],
    ],
)
def test_every_finite_number_has_a_finite_output(make: type[Scaler], column: list[float]) -> None:
    """Whatever was fitted, every float64 that is not NaN comes out finite, and NaN stays NaN."""
    fitted = make().fit(doubles(*column))
    extremes = [0.0, -0.0, 1.0, 1e30, -1e-300, 5e-324, 1.7976931348623157e308, -1.7e308]
    extremes += [math.inf, -math.inf]

    assert fitted(doubles(*extremes, *[x for x in column if not math.isnan(x)])).isfinite().all()
    assert fitted(doubles(math.nan)).isnan().all()
    assert fitted(doubles(*extremes)).dtype == torch.float32


@pytest.mark.parametrize("make", [MinMax, Standardize, Robust, QuantileNormal])
@pytest.mark.parametrize("column", [[7.0, 7.0, 7.0], [math.nan, math.nan], [3.0], []])
def test_a_column_without_differences_becomes_0(make: type[Scaler], column: list[float]) -> None:
    """A constant column, one row, or no value at all: every number becomes 0."""
    fitted = make().fit(doubles(*column))

    assert fitted(doubles(-1.0, 7.0, 3.0, 1e300)).tolist() == [[0.0]] * 4


@pytest.mark.parametrize("make", [MinMax, Standardize, Robust, QuantileNormal])
def test_numbers_far_from_0_keep_their_differences(make: type[Scaler]) -> None:
    """Nanosecond timestamps one second apart come out as the same column near 0 does."""
    near = 1e9 * torch.arange(100, dtype=torch.float64)[:, None]
    far = near + 1.7e18

    torch.testing.assert_close(make().fit(far)(far), make().fit(near)(near), rtol=1e-5, atol=1e-5)


def test_float32_centring_would_lose_them() -> None:
    """Seeded fault: centred in float32, timestamps one second apart fall together."""
    far = 1.7e18 + 1e9 * torch.arange(100, dtype=torch.float64)[:, None]
    fitted = MinMax().fit(far)
    faulty = (far.float() - fitted.center.float()) * fitted.scale.float()

    assert len(fitted(far).unique()) == 100
    assert len(faulty.unique()) < 10


@scalers
def test_rows_do_not_depend_on_each_other(make: type[Scaler], table: torch.Tensor) -> None:
    """A row alone and a row in a batch come out bit for bit the same; no rows give no rows."""
    fitted = make().fit(table)
    together = fitted(table)
    alone = torch.cat([fitted(row[None]) for row in table])

    assert together.numpy().tobytes() == alone.numpy().tobytes()
    assert fitted(table[:0]).shape == (0, table.shape[1])


@scalers
def test_a_weight_is_a_repetition_bit_for_bit(make: type[Scaler], table: torch.Tensor) -> None:
    """Fitted with whole weights, or on the repeated rows: the same bytes."""
    w = torch.arange(len(table)) % 4
    weighted = make().fit(table, w)
    repeated = make().fit(table.repeat_interleave(w, dim=0))

    assert state_bytes(weighted) == state_bytes(repeated)
    assert state_bytes(make().fit(table, torch.full((300,), 0.7))) == state_bytes(make().fit(table))


@given(
    st.lists(
        st.tuples(st.floats(allow_infinity=False), st.integers(0, 3)), min_size=1, max_size=40
    ),
    st.sampled_from([MinMax, Standardize, Robust, QuantileNormal]),
)
def test_any_column_is_scaled_in_order_and_finite(
    rows: list[tuple[float, int]], make: type[Scaler]
) -> None:
    """Any weighted column is scaled to finite numbers in the same order, and twice the same."""
    x = doubles(*[value for value, _ in rows])
    w = torch.tensor([weight for _, weight in rows])
    y = make().fit(x, w)(x)
    there = ~x.isnan()
    ordered = y[there][x[there].argsort()].double()

    assert y[there].isfinite().all()
    assert (ordered.diff() >= -1e-6).all()
    assert y.numpy().tobytes() == make().fit(x, w)(x).numpy().tobytes()


@scalers
def test_a_state_goes_into_an_unfitted_scaler(
    make: Callable[..., Scaler], table: torch.Tensor
) -> None:
    """A scaler of the right size takes the state of a fitted one and scales the same."""
    fitted = make().fit(table)
    sizes = {"n_features": table.shape[1]}
    if isinstance(fitted, QuantileNormal):
        sizes["n_quantiles"] = len(fitted.knots)
    fresh = make(**sizes)
    fresh.load_state_dict(fitted.state_dict())

    assert fresh(table).numpy().tobytes() == fitted(table).numpy().tobytes()


@scalers
def test_another_number_of_columns_is_refused(make: type[Scaler], table: torch.Tensor) -> None:
    """Rows of another width, or an unfitted scaler, raise ValueError and do not broadcast."""
    fitted = make().fit(table)
    for x in (table[:, :1], table[:, 0]):
        with pytest.raises(ValueError, match="as in fit"):
            fitted(x)
    with pytest.raises(ValueError, match="Fit first"):
        make()(table[:, :1])
