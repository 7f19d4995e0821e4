"""The arithmetic of a step: accumulation is the large batch."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from afina.errors import ConfigError, NonFiniteError
from afina.train import Trainer
from afina.train.batches import Batch, split_batch
from afina.train.gradient import GradientMethod, accumulate, fused_mean, mean_gradient
from afina.train.loop import grad_norm
from afina.train.loss import make_weighted_loss
from afina.train.settings import StopSettings
from afina.train.state import TrainState
from afina.train.stopping import Stopping

TOLERANCE = {"rtol": 0, "atol": 1e-10}


def gradient(model: nn.Module, loss, window: list[Batch]) -> list[Tensor]:
    model.zero_grad(set_to_none=True)
    weighted = make_weighted_loss(loss)
    plan = GradientMethod(
        model=model,
        loss=weighted,
        forward=model,
        sum_gradient=accumulate(weighted, model),
        mean_gradient=fused_mean(weighted, model),
    )
    mean_gradient(plan, window, TrainState(Stopping(StopSettings(patience=None))))
    return [p.grad for p in model.parameters()]


def uneven(batch: Batch, cuts: list[int]) -> list[Batch]:
    edges = [0, *cuts, len(batch.x)]
    return [
        Batch(batch.x[a:b], batch.y[a:b], None if batch.weights is None else batch.weights[a:b])
        for a, b in itertools.pairwise(edges)
        if a < b
    ]


@st.composite
def networks(draw) -> nn.Module:
    """Random networks without batch statistics, in float64."""
    torch.manual_seed(draw(st.integers(0, 1000)))
    layers: list[nn.Module] = []
    width = 5
    for _ in range(draw(st.integers(0, 3))):
        wide = draw(st.integers(2, 8))
        layers.append(nn.Linear(width, wide, bias=draw(st.booleans())))
        norms = [nn.LayerNorm(wide), nn.RMSNorm(wide), nn.GroupNorm(1, wide), nn.Identity()]
        layers += [draw(st.sampled_from(norms)), draw(st.sampled_from([nn.Tanh(), nn.GELU()]))]
        width = wide
    return nn.Sequential(*layers, nn.Linear(width, 4)).double()


@settings(max_examples=60)
@given(
    model=networks(),
    n_rows=st.integers(1, 40),
    seed=st.integers(0, 1000),
    cuts=st.lists(st.integers(0, 40), max_size=6),
    row_weights=st.booleans(),
    class_weights=st.booleans(),
    ignored=st.booleans(),
)
def test_any_split_gives_the_large_batchs_gradient(
    model, n_rows, seed, cuts, row_weights, class_weights, ignored
) -> None:
    """Any uneven split, with row weights, class weights and ignored targets, to 1e-10."""
    torch.manual_seed(seed)
    x = torch.randn(n_rows, 5, dtype=torch.float64)
    y = torch.randint(0, 4, (n_rows,))
    if ignored:
        y[torch.rand(n_rows) < 0.3] = -100
        y[0] = 1
    weights = torch.rand(n_rows, dtype=torch.float64) + 0.01 if row_weights else None
    class_weight = torch.rand(4, dtype=torch.float64) + 0.1 if class_weights else None
    loss = nn.CrossEntropyLoss(weight=class_weight)
    batch = Batch(x, y, weights)

    whole = gradient(model, loss, [batch])
    parts = gradient(model, loss, uneven(batch, sorted(c for c in cuts if c < n_rows)))
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)

    # The same by torch alone: the weighted mean, written out.
    model.zero_grad(set_to_none=True)
    values = nn.CrossEntropyLoss(weight=class_weight, reduction="none")(model(x), y)
    counts = (y != -100).double() * (1 if class_weight is None else class_weight[y.clamp(0)])
    w = torch.ones(n_rows, dtype=torch.float64) if weights is None else weights
    ((values * w).sum() / (counts * w).sum()).backward()
    for a, p in zip(whole, model.parameters(), strict=True):
        torch.testing.assert_close(a, p.grad, **TOLERANCE)


def test_mean_of_means_is_caught() -> None:
    """Seeded fault: averaging the micro-batches' means fails the comparison above."""
    torch.manual_seed(0)
    model = nn.Linear(5, 4).double()
    batch = Batch(torch.randn(7, 5, dtype=torch.float64), torch.randint(0, 4, (7,)))
    whole = gradient(model, nn.CrossEntropyLoss(), [batch])

    model.zero_grad(set_to_none=True)
    parts = uneven(batch, [2])
    for part in parts:
        (nn.CrossEntropyLoss()(model(part.x), part.y) / len(parts)).backward()
    with pytest.raises(AssertionError):
        torch.testing.assert_close(whole[0], model.weight.grad, **TOLERANCE)


def reference_fit(model, x, y, weights, *, order, batch_size, lr, max_norm, epochs) -> None:
    """The large batch's training, in a dozen lines of plain torch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    for epoch in range(epochs):
        rows = order(epoch)
        for first in range(0, len(x), batch_size):
            at = rows[first : first + batch_size]
            values = nn.functional.cross_entropy(model(x[at]), y[at], reduction="none")
            loss = (values * weights[at]).sum() / weights[at].sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()


@pytest.mark.parametrize("micro", [None, 16, 7, 3, 1])
@pytest.mark.parametrize("n_rows", [64, 50, 33])
def test_whole_run_equals_large_batches(n_rows: int, micro: int | None) -> None:
    """Weights, clipping, the partial last window and AdamW: the final weights agree to 1e-10."""
    torch.manual_seed(1)
    x = torch.randn(n_rows, 5, dtype=torch.float64)
    y = torch.randint(0, 3, (n_rows,))
    weights = torch.rand(n_rows, dtype=torch.float64) + 0.1
    model = nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3)).double()
    reference = copy.deepcopy(model)
    trainer = Trainer(
        model,
        loss=nn.CrossEntropyLoss(),
        lr=0.01,
        max_grad_norm=0.1,
        batch_size=16,
        microbatch_size=micro,
        max_epochs=3,
        seed=5,
    )
    order = trainer._data((x, y, weights)).order
    trainer.fit((x, y, weights))
    reference_fit(
        reference, x, y, weights, order=order, batch_size=16, lr=0.01, max_norm=0.1, epochs=3
    )

    for a, b in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)


def test_l2_in_the_loss_is_added_once_a_step() -> None:
    """With micro-batches too, the penalty's gradient is l2 * W for weights and none for biases."""
    torch.manual_seed(0)
    x, y = torch.randn(12, 3, dtype=torch.float64), torch.randn(12, 1, dtype=torch.float64)
    results = []
    for micro in (None, 5):
        torch.manual_seed(2)
        model = nn.Linear(3, 1).double()
        by_hand = copy.deepcopy(model)
        Trainer(
            model,
            loss=nn.MSELoss(),
            optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
            l2=0.3,
            batch_size=12,
            microbatch_size=micro,
            max_epochs=1,
        ).fit((x, y))
        loss = nn.functional.mse_loss(by_hand(x), y) + 0.15 * (by_hand.weight**2).sum()
        loss.backward()
        expected = by_hand.weight - 0.1 * by_hand.weight.grad
        torch.testing.assert_close(model.weight, expected, **TOLERANCE)
        torch.testing.assert_close(model.bias, by_hand.bias - 0.1 * by_hand.bias.grad, **TOLERANCE)
        results.append(model.weight)
    torch.testing.assert_close(*results, **TOLERANCE)


def test_grad_norm_is_the_norm_of_all_numbers() -> None:
    """The norm over many tensors is that of their numbers in one row."""
    torch.manual_seed(0)
    grads = [torch.randn(3, 4).double(), torch.randn(5).double(), torch.randn(()).double()]
    together = torch.cat([g.flatten() for g in grads])

    torch.testing.assert_close(grad_norm(grads), together.norm())


def test_infinite_loss_is_named_and_the_step_not_taken() -> None:
    """A loss that is not finite names step and rows; the weights are as before."""
    model = nn.Linear(2, 1)
    before = copy.deepcopy(model.state_dict())
    x = torch.zeros(8, 2)
    x[5, 1] = float("inf")

    with pytest.raises(NonFiniteError, match=r"step 1: .* on training rows .*micro-batch \d of 2"):
        Trainer(model, loss=nn.MSELoss(), batch_size=8, microbatch_size=4, max_epochs=1).fit(
            (x, torch.zeros(8, 1))
        )
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_infinite_gradient_names_the_parameter() -> None:
    """A finite loss with an infinite gradient (sqrt at 0) names the parameter."""

    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale.sqrt()

    with pytest.raises(NonFiniteError, match=r"step 1: .* of 'scale' is not"):
        Trainer(Root(), loss=nn.MSELoss(), max_epochs=1).fit((torch.ones(4, 1), torch.ones(4, 1)))


def test_ignored_window_moves_nothing() -> None:
    """A window in which every target is ignored leaves weights and moments as they are."""
    model = nn.Linear(2, 3)
    before = copy.deepcopy(model.state_dict())
    result = Trainer(model, loss=nn.CrossEntropyLoss(), batch_size=2, max_epochs=2).fit(
        (torch.randn(4, 2), torch.full((4,), -100))
    )

    assert result.stop.step == 4
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_no_data_is_an_error() -> None:
    """An iterable without a batch is refused."""
    with pytest.raises(ConfigError, match="training data must have at least one row"):
        Trainer(nn.Linear(1, 1), loss=nn.MSELoss()).fit([])


def test_split_batch_keeps_rows_and_weights_together() -> None:
    """x, y and weights are cut at the same places."""
    x = torch.arange(7)
    for part in split_batch(Batch(x, x * 2, x * 3), 3, 7):
        assert torch.equal(part.x * 2, part.y)
        assert torch.equal(part.x * 3, part.weights)
