import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from afina.tabular.training.losses import make_loss
from afina.train.loss import make_weighted_loss, weighted_sum

sizes = st.integers(1, 5)


def cross_entropy(scores: np.ndarray, y: np.ndarray, smoothing: float) -> np.ndarray:
    """Compute each row's cross-entropy by hand."""
    logs = scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    n_classes = scores.shape[-1]
    target = np.eye(n_classes)[y] * (1 - smoothing) + smoothing / n_classes
    return -(target * logs).sum(axis=-1)


@given(sizes, sizes, sizes, st.sampled_from([0.0, 0.1]), st.integers(0, 2**31))
def test_classes(n: int, k: int, c: int, smoothing: float, seed: int) -> None:
    """A row's loss is the mean of its members' cross-entropies; the fused mean is its mean."""
    rng = np.random.default_rng(seed)
    scores, y = rng.normal(0, 2, (n, k, c)), rng.integers(0, c, n)
    loss = make_weighted_loss(make_loss(c, n_members=2, label_smoothing=smoothing))
    each = np.stack([cross_entropy(scores[:, j], y, smoothing) for j in range(k)], axis=1)

    values, weights = loss.values(torch.from_numpy(scores), torch.from_numpy(y))
    assert loss.mean is not None
    mean, weight = loss.mean(torch.from_numpy(scores), torch.from_numpy(y))

    assert weights is None
    np.testing.assert_allclose(values.numpy(), each.mean(axis=1), rtol=1e-12, atol=1e-14)
    assert (float(mean), weight) == (pytest.approx(each.mean(), rel=1e-12, abs=1e-14), n)


@given(sizes, sizes, st.integers(0, 2**31))
def test_numbers(n: int, k: int, seed: int) -> None:
    """A row's loss is the mean of its members' squared errors; the fused mean is its mean."""
    rng = np.random.default_rng(seed)
    outputs, y = rng.normal(size=(n, k, 1)), rng.normal(size=(n, 1))
    loss = make_weighted_loss(make_loss(0, n_members=k + 1, label_smoothing=0.3))
    each = ((outputs[:, :, 0] - y) ** 2).mean(axis=1)

    values, weights = loss.values(torch.from_numpy(outputs), torch.from_numpy(y))
    assert loss.mean is not None
    mean, weight = loss.mean(torch.from_numpy(outputs), torch.from_numpy(y))

    assert weights is None
    np.testing.assert_allclose(values.numpy(), each, rtol=1e-12)
    assert (float(mean), weight) == (pytest.approx(each.mean()), n)


@pytest.mark.parametrize("n_classes", [0, 3])
def test_answers_of_all_members_together(n_classes: int) -> None:
    """In evaluation, without a dimension for members, it is the loss of the network's answer."""
    torch.manual_seed(0)
    outputs = torch.randn(7, n_classes or 1)
    y = torch.randint(0, 3, (7,)) if n_classes else torch.randn(7, 1)
    with_members, plain = (
        make_weighted_loss(make_loss(n_classes, n_members=k, label_smoothing=0.0)) for k in (4, 1)
    )

    found = with_members.values(outputs, y)[0]

    torch.testing.assert_close(found.flatten(), plain.values(outputs, y)[0].flatten())


@pytest.mark.parametrize("n_classes", [0, 3])
def test_row_weights_count_rows(n_classes: int) -> None:
    """A weight of 2 is the row twice: sums and weights are equal."""
    torch.manual_seed(0)
    outputs = torch.randn(3, 4, n_classes or 1, dtype=torch.float64)
    y = torch.tensor([0, 2, 1]) if n_classes else torch.randn(3, 1, dtype=torch.float64)
    loss = make_weighted_loss(make_loss(n_classes, n_members=4, label_smoothing=0.0))
    twice = torch.tensor([0, 1, 1, 2])

    one = weighted_sum(*loss.values(outputs, y), torch.tensor([1.0, 2.0, 1.0]))
    two = weighted_sum(*loss.values(outputs[twice], y[twice]), None)

    assert [float(x) for x in one] == pytest.approx([float(x) for x in two], rel=1e-12)


def test_the_loss_of_the_mean_is_another() -> None:
    """The fault this guards against, a loss of the members' mean, gives another number."""
    outputs = torch.tensor([[[1.0], [-1.0]]])
    loss = make_weighted_loss(make_loss(0, n_members=2, label_smoothing=0.0))

    assert loss.values(outputs, torch.zeros(1, 1))[0].item() == 1.0
    assert loss.values(outputs.mean(1), torch.zeros(1, 1))[0].item() == 0.0
