"""Evaluation and prediction."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from afina.errors import NonFiniteError
from afina.train.batches import Batch, ordered_batches
from afina.train.evaluate import evaluate_blocks, predict_batches
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
    parts = list(ordered_batches(Batch(x, y, weights if weighted else None), size, CPU))
    blocks = [parts[:2], parts[2:]]
    found = evaluate_blocks(model, loss, blocks, None)["loss"]
    each = nn.functional.cross_entropy(model(x), y, reduction="none").detach()

    assert found == pytest.approx(float((each * weights).sum() / weights.sum()), abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "loss",
    [nn.MSELoss(), nn.CrossEntropyLoss(), lambda o, t: (o[:, 0] - t) ** 2],
    ids=["elementwise", "classes", "own"],
)
def test_the_rows_at_a_time_change_no_bit(loss, weighted: bool) -> None:
    """Losses are summed over a whole block, however many rows go through the model at a time."""
    n_rows, whole = 100, make_weighted_loss(loss)
    torch.manual_seed(0)
    x = torch.randn(n_rows, 3)
    y = torch.randn(n_rows, 3) if isinstance(loss, nn.MSELoss) else torch.randint(0, 3, (n_rows,))
    batch = Batch(x, y, torch.rand(n_rows) if weighted else None)
    together = evaluate_blocks(nn.Identity(), whole, [[batch]], None)
    for size in (1, 7, 32):
        blocks = [ordered_batches(batch, size, CPU)]

        assert evaluate_blocks(nn.Identity(), whole, blocks, None) == together


def test_scores_see_all_rows_together() -> None:
    """A score is computed once, over the outputs of all batches in order."""
    x = torch.arange(5.0)[:, None]
    seen = []

    def scores(outputs, targets, weights):
        seen.append((outputs.flatten().tolist(), targets.tolist(), weights))
        return {"n": len(outputs)}

    loss = make_weighted_loss(lambda output, target: output.flatten() - target)
    blocks = [ordered_batches(Batch(x, x.flatten()), 2, CPU)]
    result = evaluate_blocks(nn.Identity(), loss, blocks, scores)

    assert seen == [([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], None)]
    assert result == {"loss": 0.0, "n": 5}


def test_a_prediction_that_is_not_finite_names_its_row() -> None:
    """An infinite output is an error that names the row, and is never returned."""
    x = torch.zeros(9, 1)
    x[7] = float("nan")
    with pytest.raises(NonFiniteError, match="row 7"):
        predict_batches(nn.Identity(), ordered_batches(Batch(x, None), 4, CPU))
