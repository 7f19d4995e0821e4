"""Raw numbers and times become the network's numbers, by what training rows hold and no others."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afina.preprocess import Preprocess

SCALINGS = ["minmax", "standard", "robust", "quantile", None, "batchnorm"]
scalings = pytest.mark.parametrize("scaling", SCALINGS)
NAN = math.nan
Table = tuple[torch.Tensor, torch.Tensor]


def make_table(n_rows: int, seed: int = 0) -> Table:
    """Make numbers and times of many kinds, with missing values."""
    rng = np.random.default_rng(seed)
    x_num = np.stack(
        [
            rng.normal(size=n_rows),
            1.7e18 + 1e9 * rng.integers(0, 10**6, n_rows),
            np.full(n_rows, 7.0),
            np.full(n_rows, NAN),
            1e-300 * rng.integers(0, 5, n_rows),
            1e30 * rng.normal(size=n_rows),
        ],
        axis=1,
    )
    x_num[rng.random(n_rows) < 0.2, 0] = NAN
    x_time = np.stack(
        [1e9 + 86_400.0 * rng.integers(0, 9000, n_rows), 1e9 + 1e6 * rng.random(n_rows)], axis=1
    )
    x_time[rng.random(n_rows) < 0.1, 1] = NAN
    return torch.tensor(x_num), torch.tensor(x_time)


def state_bytes(module: Preprocess) -> dict[str, bytes]:
    """Return every byte that was fitted."""
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


@scalings
def test_outputs_are_finite_named_and_in_order(scaling: str) -> None:
    """Whatever is missing or huge, outputs are finite, `d_out` many, and named."""
    x_num, x_time = make_table(90)
    fitted = Preprocess(scaling).fit(x_num, x_time, time_names=["when", "seen"])
    found = fitted(x_num, x_time)

    assert found.shape == (90, fitted.d_out)
    assert found.isfinite().all()
    assert found.dtype == (torch.float64 if scaling == "batchnorm" else torch.float32)
    assert fitted.out_names == [
        *[f"num{i}" for i in range(6)],
        *["when", "seen"],
        *["when.year_sin", "when.year_cos", "when.week_sin", "when.week_cos"],
        *["seen.year_sin", "seen.year_cos", "seen.week_sin", "seen.week_cos"],
        *["seen.day_sin", "seen.day_cos"],
        *["num0.missing", "num3.missing", "seen.missing"],
    ]
    assert found[:, -3].tolist() == x_num[:, 0].isnan().tolist()


@scalings
def test_rows_outside_the_fit_change_no_byte(scaling: str) -> None:
    """Whatever stands in validation rows or in rows of weight 0, the fitted bytes are the same."""
    x_num, x_time = make_table(90)
    train = torch.arange(90) % 3 > 0
    other_num, other_time = make_table(90, seed=1)
    mixed_num = torch.where(train[:, None], x_num, 1e6 * other_num)
    mixed_time = torch.where(train[:, None], x_time, other_time)
    weights = train * (1 + torch.arange(90) % 2)
    by_rows = state_bytes(Preprocess(scaling).fit(x_num[train], x_time[train]))
    by_weights = state_bytes(Preprocess(scaling).fit(x_num, x_time, weights))

    assert by_rows == state_bytes(Preprocess(scaling).fit(mixed_num[train], mixed_time[train]))
    assert by_weights == state_bytes(Preprocess(scaling).fit(mixed_num, mixed_time, weights))


def test_the_leakage_test_catches_a_fit_on_all_rows() -> None:
    """Seeded fault: fitted on all rows, the bytes change with the validation rows."""
    x_num, x_time = make_table(90)
    leaky = state_bytes(Preprocess().fit(x_num, x_time))
    x_num[0, 0] = 1e6

    assert leaky != state_bytes(Preprocess().fit(x_num, x_time))


@scalings
@pytest.mark.parametrize("impute", ["median", "mean", "zero"])
def test_missing_values_enter_no_statistic(scaling: str, impute: str) -> None:
    """Scalers are fitted on the values that are there, not on those filled in."""
    x = torch.tensor([[1.0], [2.0], [6.0], [NAN], [NAN], [NAN]], dtype=torch.float64)
    none = torch.zeros(6, 0)
    with_missing = Preprocess(scaling, impute).fit(x, none)
    without = Preprocess(scaling, impute).fit(x[:3], none[:3])

    for name, tensor in without.scale.state_dict().items():
        assert torch.equal(tensor, with_missing.scale.state_dict()[name])


@scalings
@given(
    st.lists(
        st.tuples(
            st.floats(allow_infinity=False),
            st.integers(0, 10**10) | st.just(NAN),
            st.integers(0, 3),
        ),
        min_size=2,
        max_size=30,
    )
)
def test_a_weight_is_a_repetition_bit_for_bit(
    scaling: str, rows: list[tuple[float, float, int]]
) -> None:
    """Whole weights, not all equal, fit every byte as the repeated rows do."""
    x_num = torch.tensor([[row[0]] for row in rows], dtype=torch.float64)
    x_time = torch.tensor([[row[1]] for row in rows], dtype=torch.float64)
    w = torch.tensor([row[2] for row in rows])
    w[0], w[1] = 1, 2
    weighted = Preprocess(scaling, "mean").fit(x_num, x_time, w)
    repeated = Preprocess(scaling, "mean").fit(
        x_num.repeat_interleave(w, dim=0), x_time.repeat_interleave(w, dim=0)
    )

    assert state_bytes(weighted) == state_bytes(repeated)
    assert weighted.out_names == repeated.out_names


@scalings
def test_equal_weights_are_no_weights(scaling: str) -> None:
    """Equal weights change no byte."""
    table = make_table(40)

    for weight in (0.1, 1.0, 3.0):
        weighted = Preprocess(scaling).fit(*table, torch.full((40,), weight))
        assert state_bytes(weighted) == state_bytes(Preprocess(scaling).fit(*table))


@scalings
def test_rows_do_not_depend_on_each_other(scaling: str) -> None:
    """A row alone comes out bit for bit as in a batch; no rows give no rows."""
    x_num, x_time = make_table(67)
    fitted = Preprocess(scaling).fit(x_num, x_time)
    alone = torch.cat([fitted(x_num[i : i + 1], x_time[i : i + 1]) for i in range(67)])

    assert fitted(x_num, x_time).numpy().tobytes() == alone.numpy().tobytes()
    assert fitted(x_num[:0], x_time[:0]).shape == (0, fitted.d_out)


@scalings
def test_a_module_of_the_same_sizes_takes_the_state(scaling: str) -> None:
    """Sizes and state make an equal module, without a fit."""
    x_num, x_time = make_table(400)
    fitted = Preprocess(scaling, "mean").fit(x_num, x_time)
    fresh = Preprocess.sized(
        scaling,
        "mean",
        num_names=fitted.num_names,
        time_names=fitted.time_names,
        n_indicators=len(fitted.impute.marked),
        n_timed=len(fitted.dates.timed),
        n_quantiles=fitted.n_quantiles,
    )
    fresh.load_state_dict(fitted.state_dict())

    assert fresh.out_names == fitted.out_names
    assert fresh(x_num, x_time).numpy().tobytes() == fitted(x_num, x_time).numpy().tobytes()


@scalings
def test_it_exports_with_any_number_of_rows(scaling: str) -> None:
    """torch.export takes the whole module, and the program gives the same bytes."""
    x_num, x_time = make_table(50)
    fitted = Preprocess(scaling).fit(x_num, x_time)
    rows = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(fitted, (x_num[:9], x_time[:9]), dynamic_shapes=(rows, rows))

    for n_rows in (50, 1):
        some = x_num[:n_rows], x_time[:n_rows]
        assert program.module()(*some).numpy().tobytes() == fitted(*some).numpy().tobytes()


@pytest.mark.parametrize(
    ("x_num", "x_time"),
    [
        (torch.zeros(0, 2), torch.zeros(0, 1)),
        (torch.ones(1, 2), torch.ones(1, 1)),
        (torch.zeros(5, 0), torch.zeros(5, 0)),
        (torch.zeros(5, 0), torch.zeros(5, 1)),
        (torch.full((3, 2), NAN), torch.full((3, 1), NAN)),
    ],
)
@scalings
def test_small_and_empty_tables_can_be_fitted(
    scaling: str, x_num: torch.Tensor, x_time: torch.Tensor
) -> None:
    """No rows, one row, no columns, no values: fitted, and finite for new rows."""
    fitted = Preprocess(scaling).fit(x_num, x_time)
    new = torch.full((4, x_num.shape[1]), 3.5), torch.full((4, x_time.shape[1]), NAN)

    assert fitted(*new).shape == (4, fitted.d_out)
    assert fitted(*new).isfinite().all()


def test_fitting_again_forgets_the_first_fit() -> None:
    """A second fit gives what a first one on the same rows gives."""
    first, second = make_table(50), make_table(80, seed=3)
    again = Preprocess().fit(*first).fit(*second)

    assert state_bytes(again) == state_bytes(Preprocess().fit(*second))


def test_what_does_not_fit_together_is_refused() -> None:
    """Unequal numbers of rows, wrong names and an unknown scaling raise ValueError."""
    x = torch.zeros(3, 1)
    for call in (
        lambda: Preprocess().fit(x, x[:2]),
        lambda: Preprocess().fit(x[:, 0], x),
        lambda: Preprocess().fit(x, x, num_names=["a", "b"]),
        lambda: Preprocess("other"),
    ):
        with pytest.raises(ValueError, match=r"must (be|have)"):
            call()
