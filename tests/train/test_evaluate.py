"""Evaluation and prediction."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from afina.errors import NonFiniteError
from afina.train.batches import Batch, ordered_batches
from afina.train.evaluate import evaluate_batches, predict_batches
from afina.train.loss import make_weighted_loss

CPU = torch.device("cpu")


@given(st.integers(1, 30), st.integers(1, 30), st.booleans())
def test_loss_does_not_depend_on_the_batches(n_rows: int, size: int, weighted: bool) -> None:
    """The loss over uneven batches is the weighted mean over all rows, not a mean of means."""
    torch.manual_seed(n_rows)
    model = nn.Linear(3, 2).double()
    x, y = torch.randn(n_rows, 3).double(), torch.randint(0, 2, (n_rows,))
    weights = torch.rand(n_rows).double() + 0.1 if weighted else torch.ones(n_rows).double()
    loss = make_weighted_loss(nn.CrossEntropyLoss())
    batch = Batch(x, y, weights if weighted else None)
    found = evaluate_batches(model, loss, ordered_batches(batch, size, CPU), None)["loss"]
    each = nn.functional.cross_entropy(model(x), y, reduction="none").detach()

    assert found == pytest.approx(float((each * weights).sum() / weights.sum()), abs=1e-12)


def test_scores_see_all_rows_together() -> None:
    """A score is computed once, over the outputs of all batches in order."""
    x = torch.arange(5.0)[:, None]
    seen = []

    def scores(outputs, targets, weights):
        seen.append((outputs.flatten().tolist(), targets.tolist(), weights))
        return {"n": len(outputs)}

    loss = make_weighted_loss(lambda output, target: output.flatten() - target)
    result = evaluate_batches(
        nn.Identity(), loss, ordered_batches(Batch(x, x.flatten()), 2, CPU), scores
    )

    assert seen == [([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], None)]
    assert result == {"loss": 0.0, "n": 5}


def test_a_prediction_that_is_not_finite_names_its_row() -> None:
    """An infinite output is an error that names the row, and is never returned."""
    x = torch.zeros(9, 1)
    x[7] = float("nan")
    with pytest.raises(NonFiniteError, match="row 7"):
        predict_batches(nn.Identity(), ordered_batches(Batch(x, None), 4, CPU))
