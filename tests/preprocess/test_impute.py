"""Missing numbers are filled and marked."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer

from afina.preprocess import Impute

X = torch.tensor(
    [[1.0, math.nan, 5.0], [2.0, math.nan, math.nan], [9.0, math.nan, 7.0], [4.0, math.nan, 5.5]],
    dtype=torch.float64,
)
strategies = pytest.mark.parametrize("strategy", ["median", "mean", "zero"])


@strategies
def test_values_are_those_of_scikit_learn(strategy: str, rng: np.random.Generator) -> None:
    """Medians and means are SimpleImputer's; zero is 0."""
    x = rng.normal(size=(200, 4))
    x[rng.random(x.shape) < 0.3] = math.nan
    kind = {"zero": "constant"}.get(strategy, strategy)
    theirs = SimpleImputer(strategy=kind, fill_value=0 if strategy == "zero" else None)
    filled, _ = Impute(strategy).fit(torch.tensor(x))(torch.tensor(x))

    np.testing.assert_allclose(filled, theirs.fit_transform(x), rtol=1e-12, atol=1e-15)


@strategies
def test_marks_stand_for_columns_that_had_missing_values_in_training(strategy: str) -> None:
    """Columns with missing values in training get a mark, others none, also when missing later."""
    fitted = Impute(strategy).fit(X)
    later = torch.tensor([[math.nan, 3.0, math.nan]], dtype=torch.float64)
    filled, marks = fitted(later)

    assert fitted.marked.tolist() == [1, 2]
    assert marks.tolist() == [[0.0, 1.0]]
    assert marks.dtype == torch.float32
    assert filled.isfinite().all()
    assert filled.dtype == torch.float64


@strategies
def test_a_column_without_values_is_filled_with_0(strategy: str) -> None:
    """What was missing in every training row becomes 0."""
    filled, _ = Impute(strategy).fit(X)(X)

    assert filled[:, 1].tolist() == [0.0] * 4


@given(
    st.lists(st.tuples(st.floats(allow_infinity=False), st.integers(0, 3)), min_size=2),
    st.sampled_from(["median", "mean"]),
)
def test_a_weight_is_a_repetition_bit_for_bit(rows: list[tuple[float, int]], strategy: str) -> None:
    """Whole weights, not all equal, fill in the repeated rows' value in every bit."""
    x = torch.tensor([[value] for value, _ in rows], dtype=torch.float64)
    w = torch.tensor([weight for _, weight in rows])
    w[0], w[1] = 1, 2
    weighted = Impute(strategy).fit(x, w)
    repeated = Impute(strategy).fit(x.repeat_interleave(w, dim=0))

    assert weighted.fill.numpy().tobytes() == repeated.fill.numpy().tobytes()
    assert weighted.marked.tolist() == repeated.marked.tolist()


def test_an_unknown_strategy_is_refused() -> None:
    """A strategy that does not exist raises ValueError with those that do."""
    with pytest.raises(ValueError, match="median, mean, zero; got strategy='mode'"):
        Impute("mode")
