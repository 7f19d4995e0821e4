"""Losses of the user's own: what they return is checked, and their parameters are trained."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import afina
from afina.errors import AfinaWarning, ConfigError
from afina.train.loss import make_weighted_loss, weighted_sum


class RootOfMean(nn.MSELoss):
    """The root of torch's mean."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return super().forward(output, target).sqrt()


class Learned(nn.Module):
    """Squares divided by a variance that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        s = self.log_variance
        return ((output - target) ** 2 * torch.exp(-s) + s).squeeze(1)


def rows(n: int = 96) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return x, 2 * x[:, :1]


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 1, dtype=torch.float64)


def test_a_subclass_with_its_own_forward_is_its_own_loss() -> None:
    """It is not computed as its parent is; one without a forward of its own is."""

    class Same(nn.MSELoss):
        pass

    x, y = rows()
    with pytest.raises(ConfigError, match="RootOfMean returned one number"):
        afina.Trainer(linear(), loss=RootOfMean()).evaluate((x, y))
    assert make_weighted_loss(Same()).own is None


@pytest.mark.parametrize("returned", ["values", "values and weights", "sum and weight"])
def test_every_form_gives_torchs_mean(returned: str) -> None:
    """Values, values with weights, and a sum with its weight are the same loss in any parts."""

    def loss(output: Tensor, target: Tensor):
        values = (output - target) ** 2
        if returned == "values":
            return values
        return (
            (values, torch.ones_like(values)) if "values" in returned else (values.sum(), 96 // 2)
        )

    x, y = rows()
    model = linear()
    got = afina.Trainer(model, loss=loss).evaluate([(x[:48], y[:48]), (x[48:], y[48:])])["loss"]

    assert got == pytest.approx(F.mse_loss(model(x), y).item(), abs=1e-12)


@pytest.mark.parametrize(
    ("loss", "shapes"),
    [
        (lambda o, t: ((o - t) ** 2).mean().view(1), r"\(1,\).*\(5, 1\)"),
        (lambda o, t: (o - t[:, 0]) ** 2, r"\(5, 5\).*\(5, 1\)"),
        (lambda o, t: (((o - t) ** 2), torch.ones(5)), r"\(5, 1\) and weights \(5,\)"),
        (lambda o, t: float(((o - t) ** 2).mean()), "returned float"),
    ],
)
def test_values_that_are_not_one_a_row_are_refused(loss, shapes: str) -> None:
    """A mean of shape (1,) and a broadcast (N, N) are refused with both shapes."""
    with pytest.raises(ConfigError, match=shapes):
        make_weighted_loss(loss).values(torch.zeros(5, 1), torch.ones(5, 1))


@pytest.mark.parametrize(
    ("output", "target", "loss"),
    [
        ((6, 3, 4), (6,), lambda o, t: o.logsumexp(2) - o[..., 0] * t[:, None]),  # members
        ((6, 4, 5), (6, 5), lambda o, t: F.cross_entropy(o, t.long(), reduction="none")),
        ((6, 5, 4), (6, 5), lambda o, t: F.cross_entropy(o[:, 1:].flatten(0, 1), t[:, 1:].flatten().long(), reduction="none")),
        ((6, 2), (6, 2), lambda o, t: (o - t).pow(2).sum(1)),
        ((6, 2), (6, 2), lambda o, t: (o - t).pow(2)),
    ],
)  # fmt: skip
def test_values_of_rows_members_and_tokens_are_taken(output, target, loss) -> None:
    """A value for each row, member, pixel or shifted token is as many as there should be."""
    values, _ = make_weighted_loss(loss).values(torch.zeros(output), torch.zeros(target))

    assert values.numel() >= 6


def test_ignored_targets_do_not_count() -> None:
    """Zeros for ignored targets are refused, and the advice makes them right."""
    torch.manual_seed(0)
    output, target = torch.randn(8, 3, 10), torch.randint(3, (8, 10))
    target[:, 4:] = -100

    def each(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target, reduction="none")

    with pytest.raises(ConfigError, match=r"weights \(target != -100\)"):
        make_weighted_loss(each).values(output, target)
    with pytest.raises(ConfigError, match=r"\(target != -100\)\.sum\(\)"):
        make_weighted_loss(partial(F.cross_entropy, ignore_index=-100)).values(output, target)
    advised = make_weighted_loss(lambda o, t: (each(o, t), t != -100))
    total, weight = weighted_sum(*advised.values(output, target), None)

    torch.testing.assert_close(total / weight, F.cross_entropy(output, target))


def test_a_loss_without_a_gradient_is_refused() -> None:
    """Values that were detached are an error of ours, not of torch's."""
    trainer = afina.Trainer(linear(), loss=lambda o, t: (o - t).pow(2).detach(), max_steps=1)
    with pytest.raises(ConfigError, match="no gradient"):
        trainer.fit(rows())


def test_row_weights_need_values_of_rows() -> None:
    """A loss that returns one sum cannot be weighted by row, and says so."""
    loss = make_weighted_loss(lambda o, t: ((o - t).pow(2).sum(), len(t)))
    with pytest.raises(ConfigError, match="row weights need a loss with values"):
        weighted_sum(*loss.values(torch.zeros(3), torch.ones(3)), torch.ones(3))


def step(microbatch_size: int | None, **keywords) -> tuple[Tensor, Tensor]:
    model, loss = linear(), Learned()
    settings = {"batch_size": 96, "max_steps": 3, "max_grad_norm": 0.5} | keywords
    trainer = afina.Trainer(model, loss=loss, microbatch_size=microbatch_size, **settings)
    trainer.fit(rows(), rows())
    return model.weight.detach(), loss.log_variance.detach()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("averaging", [None, "ema"])
def test_parameters_of_a_loss_are_trained_as_the_models_are(optimizer, averaging) -> None:
    """They move, and micro-batches move them alike, clipped and averaged."""
    whole = step(None, optimizer=optimizer, averaging=averaging, lr=0.05)
    parts = step(32, optimizer=optimizer, averaging=averaging, lr=0.05)

    assert whole[1].abs() > 0
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["module", "method", "partial", "optimizer"])
def test_parameters_of_a_loss_are_resumed(tmp_path, kind: str) -> None:
    """A resumed run has the loss of the uninterrupted one, bit for bit."""

    def run(epochs: int, folder, resume: bool = False) -> tuple[Tensor, Tensor]:
        model, loss = linear(), Learned()
        forms = {
            "method": loss.forward,
            "partial": partial(loss),
            "optimizer": lambda o, t: 1.0 * loss(o, t),
        }
        made = torch.optim.Adam([*model.parameters(), *loss.parameters()], lr=0.05)
        afina.Trainer(
            model,
            loss=forms.get(kind, loss),
            optimizer=made if kind == "optimizer" else "adam",
            max_epochs=epochs,
            batch_size=32,
            microbatch_size=8,
            run_dir=folder,
        ).fit(rows(), resume=resume)
        return model.weight.detach(), loss.log_variance.detach()

    run(2, tmp_path / "run")
    resumed, whole = run(4, tmp_path / "run", resume=True), run(4, None)

    assert all(torch.equal(a, b) for a, b in zip(resumed, whole, strict=True))


def test_parameters_that_nobody_trains_are_refused() -> None:
    """A loss outside the optimizer, and one hidden in a function, are errors."""
    model, hidden = linear(), Learned()
    own = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="does not hold log_variance"):
        afina.Trainer(model, loss=Learned(), optimizer=own).fit(rows())
    with pytest.raises(ConfigError, match="'log_variance' of 'hidden'"):
        afina.Trainer(model, loss=lambda o, t: 1.0 * hidden(o, t), max_steps=1).fit(rows())


def contrastive(output: Tensor, target: Tensor) -> Tensor:
    """Each row against all others of the batch."""
    return F.cross_entropy(output @ output.T, torch.arange(len(output)), reduction="none")


@pytest.mark.parametrize("loss", [contrastive, RootOfMean()])
def test_a_loss_across_rows_is_said_to_change(loss) -> None:
    """With micro-batches, a loss that compares rows warns with both numbers."""
    weight = {"loss_weight": lambda _, t: len(t)} if isinstance(loss, nn.Module) else {}
    trainer = afina.Trainer(
        linear(), loss=loss, max_steps=1, batch_size=96, microbatch_size=24, **weight
    )
    with pytest.warns(AfinaWarning, match="looks across the rows"):
        trainer.fit(rows())


def test_a_loss_of_rows_is_not_said_to_change() -> None:
    """The check leaves no trace, and is silent for a loss that is a sum over rows."""

    def run(microbatch_size: int | None) -> Tensor:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)).double()
        trainer = afina.Trainer(
            net,
            loss=lambda o, t: (o - t) ** 2,
            max_steps=2,
            batch_size=96,
            microbatch_size=microbatch_size,
            batchnorm="window",
        )
        trainer.fit(rows())
        return net[1].running_mean

    torch.testing.assert_close(run(24), run(None), rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
@pytest.mark.parametrize(
    "loss",
    [
        nn.KLDivLoss(reduction="batchmean"),
        nn.KLDivLoss(reduction="mean"),
        nn.KLDivLoss(reduction="batchmean", log_target=True),
    ],
)
def test_more_of_torchs_losses_are_exact(loss) -> None:
    """Parts of unequal sizes add up to torch's mean."""
    torch.manual_seed(0)
    output, target = torch.randn(7, 3).log_softmax(1).double(), torch.rand(7, 3).double()
    weighted = make_weighted_loss(loss)
    sums = [
        weighted_sum(*weighted.values(output[s], target[s]), None) for s in (slice(2), slice(2, 7))
    ]
    total, weight = (sum(column) for column in zip(*sums, strict=True))

    torch.testing.assert_close(total / weight, loss(output, target))
