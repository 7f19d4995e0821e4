"""Batch normalization over a window: the micro-batches' gradient is the large batch's."""

import copy
import itertools
import threading
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from afina.errors import ConfigError
from afina.train.batches import Batch, call_model
from afina.train.gradient import accumulate
from afina.train.loss import WeightedLoss, make_weighted_loss
from afina.train.precision import with_autocast
from afina.train.window import joint_norm, passes
from afina.train.window.norm import WindowNorm

TOLERANCE = 1e-10
LOSS = make_weighted_loss(nn.CrossEntropyLoss())


class Residual(nn.Module):
    """A module beside the identity."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Twice(nn.Module):
    """One module, called twice in a forward."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(torch.tanh(self.inner(x)))


class Frozen(nn.Module):
    """Batch normalization that stays in eval mode."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm.eval()
        norm.running_mean += 0.3


class ContentDropout(nn.Module):
    """Dropout whose mask is a function of each row: the same in any batch."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.detach().flatten(1).sum(1)
        places = torch.arange(x[0].numel(), dtype=x.dtype)
        mask = torch.sin(100 * rows[:, None] + 3 * places) > -0.5
        return x * mask.view(x.shape) / 0.67


class Counter(nn.Module):
    """Counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("n_calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.n_calls += 1
        return x


class InPlace(nn.Module):
    """An activation that overwrites what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.leaky_relu_(2 * x, 0.3)


class TwoInputs(nn.Module):
    """Takes rows and codes; normalizes the rows first, and ends in a normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm1d(4)
        self.embed = nn.Embedding(3, 2)
        self.body = nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 3))
        self.last = nn.BatchNorm1d(3, affine=False)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        return self.last(self.body(torch.cat([self.first(x), self.embed(code)], 1)))


def norm_module(draw, width: int, n_dims: int) -> nn.Module:
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[n_dims]
    norm = kind(
        width,
        momentum=draw(st.sampled_from([0.1, 0.5, None])),
        affine=draw(st.booleans()),
        track_running_stats=draw(st.booleans()),
    )
    if norm.affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    if draw(st.integers(0, 5)) == 0 and norm.track_running_stats:
        norm.running_mean += 0.3
        norm.eval()
    return norm


def layer(draw, width: int, n_dims: int, depth: int) -> nn.Module:
    """Draw a module that keeps the shape of what it is given."""
    kinds = ["norm", "norm", "mix", "tanh", "relu", "mask", "counter"]
    kind = draw(st.sampled_from([*kinds, "residual", "twice", "chain"] if depth else kinds))
    match kind:
        case "norm":
            return norm_module(draw, width, n_dims)
        case "mix":
            if n_dims == 2:
                return nn.Linear(width, width)
            return (nn.Conv1d if n_dims == 3 else nn.Conv2d)(width, width, 3, padding=1)
        case "tanh" | "relu":
            return nn.Tanh() if kind == "tanh" else InPlace()
        case "mask":
            return ContentDropout()
        case "counter":
            return Counter()
        case "residual":
            return Residual(layer(draw, width, n_dims, depth - 1))
        case "twice":
            return Twice(norm_module(draw, width, n_dims))
    n_layers = draw(st.integers(1, 4))
    return nn.Sequential(*(layer(draw, width, n_dims, depth - 1) for _ in range(n_layers)))


@st.composite
def networks(draw) -> tuple[nn.Module, tuple[int, ...]]:
    """Random networks with batch normalization anywhere, in float64, and the shape of a row."""
    torch.manual_seed(draw(st.integers(0, 1000)))
    shape = draw(st.sampled_from([(3,), (3, 4), (2, 3, 4)]))
    width, n_dims = shape[0], len(shape) + 1
    body = [layer(draw, width, n_dims, 2) for _ in range(draw(st.integers(1, 5)))]
    n_values = torch.Size(shape).numel()
    head = [nn.Flatten(), nn.Linear(n_values, 6), norm_module(draw, 6, 2), nn.Linear(6, 4)]
    return nn.Sequential(*body, *head).double(), shape


def uneven(batch: Batch, cuts: Sequence[int]) -> list[Batch]:
    edges = [0, *sorted(set(cuts)), len(batch.y)]
    rows = [slice(a, b) for a, b in itertools.pairwise(edges) if a < b]

    def cut(value, at):
        if isinstance(value, tuple):
            return tuple(part[at] for part in value)
        return None if value is None else value[at]

    return [Batch(*(cut(value, at) for value in batch)) for at in rows]


def results(
    model: nn.Module,
    make: Callable[[Callable], Callable],
    parts: Sequence[Batch],
) -> dict[str, Tensor]:
    """Return everything that must be equal: outputs, sums, gradients, buffers."""
    outputs = []

    def forward(x):
        outputs.append(call_model(model, x))
        return outputs[-1]

    losses, weights = make(forward)(parts, 1.0)
    found = {"outputs": torch.cat([y.detach() for y in outputs[: len(parts)]])}
    found |= {"losses": torch.tensor(losses), "weights": torch.tensor(weights)}
    for name, p in model.named_parameters():
        found[f"grad of {name}"] = torch.zeros(0) if p.grad is None else p.grad
    buffers = {name: b.double() for name, b in model.named_buffers() if "n_calls" not in name}
    return found | buffers


def differences(
    model: nn.Module,
    batch: Batch,
    parts: Sequence[Batch],
    *,
    loss: WeightedLoss = LOSS,
    n_groups: int = 3,
) -> dict[str, float]:
    """Compare the window's results with the large batch's."""
    large = copy.deepcopy(model)
    expected = results(large, lambda f: accumulate(loss, f), [batch])
    actual = results(
        model,
        lambda f: WindowNorm(model, loss, f, n_groups=n_groups, keep_bytes=0).sum_gradient,
        parts,
    )
    assert list(expected) == list(actual)
    for name, value in expected.items():
        assert value.shape == actual[name].shape, name
    return {name: gap(value, actual[name]) for name, value in expected.items()}


def gap(expected: Tensor, actual: Tensor) -> float:
    return float((expected - actual).abs().max()) if expected.numel() else 0.0


def assert_equal(found: dict[str, float], noise: dict[str, float] | None = None) -> None:
    allowed = {name: max(TOLERANCE, 10 * (noise or {}).get(name, 0.0)) for name in found}
    assert {} == {name: value for name, value in found.items() if not value <= allowed[name]}


def own_noise(model: nn.Module, batch: Batch, loss: WeightedLoss) -> dict[str, float]:
    """Compare the large batch with itself, its rows in reverse order: what rounding alone does."""
    turned = Batch(*(None if t is None else t.flip(0) for t in batch))
    first = results(copy.deepcopy(model), lambda f: accumulate(loss, f), [batch])
    second = results(copy.deepcopy(model), lambda f: accumulate(loss, f), [turned])
    second["outputs"] = second["outputs"].flip(0)
    return {name: gap(value, second[name]) for name, value in first.items()}


def mlp(*, dropout: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(3)
    layers: list[nn.Module] = [nn.Linear(5, 6)]
    for _ in range(4):
        extra = [] if dropout is None else [copy.deepcopy(dropout)]
        layers += [nn.BatchNorm1d(6), nn.Tanh(), *extra, Residual(nn.Linear(6, 6))]
    return nn.Sequential(*layers, nn.Linear(6, 4)).double()


def rows(n_rows: int = 23, shape: tuple[int, ...] = (5,)) -> Batch:
    torch.manual_seed(4)
    x = torch.randn(n_rows, *shape, dtype=torch.float64) * 2 + 1
    return Batch(x, torch.randint(0, 4, (n_rows,)))


@settings(max_examples=150)
@given(
    network=networks(),
    n_rows=st.integers(2, 24),
    cuts=st.lists(st.integers(1, 23), max_size=6),
    row_weights=st.booleans(),
    class_weights=st.booleans(),
    ignored=st.booleans(),
    n_groups=st.integers(1, 7),
)
def test_any_split_of_any_network_is_the_large_batch(
    network, n_rows, cuts, row_weights, class_weights, ignored, n_groups
) -> None:
    """Outputs, loss, gradients and buffers are the large batch's, to 1e-10 or its own rounding."""
    model, shape = network
    batch = rows(n_rows, shape)
    if ignored:
        batch.y[torch.rand(n_rows) < 0.3] = -100
        batch.y[0] = 1
    weights = torch.rand(n_rows, dtype=torch.float64) + 0.01 if row_weights else None
    class_weight = torch.rand(4, dtype=torch.float64) + 0.1 if class_weights else None
    loss = make_weighted_loss(nn.CrossEntropyLoss(weight=class_weight))
    batch = batch._replace(weights=weights)
    parts = uneven(batch, [c for c in cuts if c < n_rows])

    # Statistics of three nearly equal values magnify rounding by hundreds, again and again.
    noise = own_noise(model, batch, loss)
    assert_equal(differences(model, batch, parts, loss=loss, n_groups=n_groups), noise)


def test_several_inputs_and_normalization_first_and_last() -> None:
    """A model of two inputs that begins and ends with batch normalization."""
    torch.manual_seed(0)
    x = (torch.randn(17, 4, dtype=torch.float64), torch.randint(0, 3, (17,)))
    batch = Batch(x, torch.randint(0, 3, (17,)))

    assert_equal(differences(TwoInputs().double(), batch, uneven(batch, [1, 2, 9])))


def test_three_dimensions_and_lazy_widths() -> None:
    """BatchNorm3d, and a lazy normalization that has seen its width."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv3d(2, 3, 2), nn.LazyBatchNorm3d(), nn.ReLU(), nn.Flatten(), nn.Linear(24, 4)
    ).double()
    batch = rows(9, (2, 3, 3, 3))
    model(batch.x)

    assert_equal(differences(model, batch, uneven(batch, [4, 7])))


def test_transfer_learning() -> None:
    """Frozen weights before, trained ones behind; nothing frozen gets a gradient."""
    model = mlp()
    for p in model[:6].parameters():
        p.requires_grad_(False)

    assert_equal(differences(model, rows(), uneven(rows(), [4, 11])))
    assert model[0].weight.grad is None


def test_normalization_without_gradient() -> None:
    """A branch under no_grad, normalized in train mode, has statistics of the window too."""

    class Teacher(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp()

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                target = self.inner(x)
            return self.inner(x) * target

    assert_equal(differences(Teacher(), rows(), uneven(rows(), [4, 11])))


def test_an_unused_branch_has_no_gradient() -> None:
    """What the loss does not depend on keeps no gradient, not a zero one."""

    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = mlp(), mlp()

        def forward(self, x: Tensor) -> Tensor:
            self.unused(x)
            return self.used(x)

    model = Unused()

    assert_equal(differences(model, rows(), uneven(rows(), [4, 11])))
    assert all(p.grad is None for p in model.unused.parameters())


def test_checkpointing_and_custom_functions_without_normalization() -> None:
    """Recomputed parts without batch normalization, and a function that reads what it saved twice."""

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            ctx.save_for_backward(x, 2 * x)
            return x * x

        @staticmethod
        def backward(ctx, grad: Tensor) -> Tensor:
            assert torch.equal(2 * ctx.saved_tensors[0], ctx.saved_tensors[1])
            return grad * ctx.saved_tensors[1]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.inner, self.after = mlp()[:5], nn.Linear(6, 6).double(), mlp()[5:]

        def forward(self, x: Tensor) -> Tensor:
            y = checkpoint(
                nn.Sequential(self.inner, nn.Tanh()), self.before(x), use_reentrant=False
            )
            return self.after(Square.apply(y))

    assert_equal(differences(Net(), rows(), uneven(rows(), [4, 11]), n_groups=5))


# Seeded faults: each breaks one thing, and the comparison above must see it.


def gaps_with(monkeypatch, module, name: str, fault, model: nn.Module | None = None) -> dict:
    monkeypatch.setattr(module, name, fault)
    return differences(model or mlp(), rows(), uneven(rows(), [4, 5, 11]))


def test_fault_statistics_of_micro_batches_are_caught() -> None:
    """Seeded fault: each micro-batch is normalized by itself."""
    expected = results(mlp(), lambda f: accumulate(LOSS, f), [rows()])
    actual = results(mlp(), lambda f: accumulate(LOSS, f), uneven(rows(), [4, 11]))

    assert (expected["outputs"] - actual["outputs"]).abs().max() > 1e-3


def test_fault_constant_statistics_are_caught(monkeypatch) -> None:
    """Seeded fault: the gradient does not go through the shared statistics."""
    right = joint_norm.joint_backward

    def constant(shared, inputs, dys):
        _, dweight, dbias = right(shared, inputs, dys)
        stat = shared.statistics
        return [dy * shared.weight / (stat.var + stat.eps).sqrt() for dy in dys], dweight, dbias

    found = gaps_with(monkeypatch, joint_norm, "joint_backward", constant)

    assert found["grad of 0.weight"] > 1e-4
    assert found["outputs"] <= TOLERANCE


def test_fault_missing_bessel_factor_is_caught(monkeypatch) -> None:
    """Seeded fault: the running variance takes the biased one."""
    right = joint_norm.update_running

    def biased(module, stat):
        n = stat.count
        right(module, joint_norm.Statistics(stat.mean, stat.var * (n - 1) / n, n, stat.eps))

    found = gaps_with(monkeypatch, passes, "update_running", biased)

    assert found["1.running_var"] > 1e-4
    assert found["1.running_mean"] <= TOLERANCE


def test_fault_an_update_per_micro_batch_is_caught(monkeypatch) -> None:
    """Seeded fault: the running pair moves once for each micro-batch."""
    right = joint_norm.update_running

    def often(module, stat):
        for _ in range(4):
            right(module, stat)

    found = gaps_with(monkeypatch, passes, "update_running", often)

    assert found["1.running_mean"] > 1e-4
    assert found["1.num_batches_tracked"] == 3


def masks_of(model: nn.Module) -> list[list[Tensor]]:
    """Record the mask of every call of every dropout."""
    logs = []
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            log: list[Tensor] = []
            module.register_forward_hook(lambda m, x, y, log=log: log.append(y.detach() != 0))
            logs.append(log)
    return logs


class Masked(nn.Module):
    """Dropout with a mask that is known."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask / 0.7


def with_masks(model: nn.Module, logs: list[list[Tensor]], n_parts: int) -> nn.Module:
    """Return the model with the masks of the first forward of all micro-batches."""
    model = copy.deepcopy(model)
    for (name, _), log in zip(
        [item for item in model.named_modules() if isinstance(item[1], nn.Dropout)],
        logs,
        strict=True,
    ):
        model.set_submodule(name, Masked(torch.cat(log[:n_parts])))
    return model


def gap_with_dropout() -> float:
    """Compare gradients of a model with dropout with the same masks in one large batch."""
    model, parts = mlp(dropout=nn.Dropout(0.3)), uneven(rows(), [4, 5, 11])
    untouched = copy.deepcopy(model)
    logs = masks_of(model)
    torch.manual_seed(7)
    actual = results(model, lambda f: WindowNorm(model, LOSS, f, keep_bytes=0).sum_gradient, parts)
    large = with_masks(untouched, logs, len(parts))
    expected = results(large, lambda f: accumulate(LOSS, f), [rows()])
    assert any(len(log) > len(parts) for log in logs), "nothing was run again"
    assert (expected["outputs"] - actual["outputs"]).abs().max() <= TOLERANCE
    return max(float((expected[n] - actual[n]).abs().max()) for n in expected if "grad" in n)


def test_dropout_is_the_same_when_it_is_run_again() -> None:
    """With dropout, the gradient is that of one large batch with the masks of the first forward."""
    assert gap_with_dropout() <= TOLERANCE


def test_fault_dropout_drawn_anew_is_caught(monkeypatch) -> None:
    """Seeded fault: a replay draws other masks: noticed by itself, and wrong where it is not."""
    monkeypatch.setattr(passes, "reseed_everything", lambda *_: None)
    with pytest.raises(ConfigError, match="compute the same when it is run again"):
        gap_with_dropout()
    monkeypatch.setattr(passes.WindowPass, "_check_replays", lambda _: None)

    assert gap_with_dropout() > 1e-4


def test_random_numbers_are_a_function_of_the_generator() -> None:
    """The same seed gives the same bits; afterwards the generator is in a defined state."""

    def run(seed: int) -> tuple[dict[str, Tensor], float]:
        model, parts = mlp(dropout=nn.Dropout(0.3)), uneven(rows(), [4, 11])
        torch.manual_seed(seed)
        found = results(
            model, lambda f: WindowNorm(model, LOSS, f, keep_bytes=0).sum_gradient, parts
        )
        return found, float(torch.rand(()))

    (first, after), (again, after_again), (other, _) = run(1), run(1), run(2)

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert after == after_again
    assert not torch.equal(first["outputs"], other["outputs"])


def test_other_buffers_move_once() -> None:
    """A counter counts each micro-batch once, however often its forward is run again."""
    model = nn.Sequential(Counter(), mlp())
    parts = uneven(rows(), [4, 11])
    WindowNorm(model, LOSS, model, n_groups=7, keep_bytes=0).sum_gradient(parts)

    assert model[0].n_calls == len(parts)


def test_one_micro_batch_is_plain() -> None:
    """A window of one micro-batch has the bits of an ordinary backward."""
    model, plain = mlp(), mlp()
    WindowNorm(model, LOSS, model).sum_gradient([rows()])
    accumulate(LOSS, plain)([rows()], 1.0)

    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


def test_scale_and_what_was_there() -> None:
    """The gradient is scaled and added to what is in `.grad`; the sums are not scaled."""
    model, scaled = mlp(), mlp()
    parts = uneven(rows(), [4, 11])
    for p in scaled.parameters():
        p.grad = torch.ones_like(p)
    sums = WindowNorm(model, LOSS, model).sum_gradient(parts)

    assert WindowNorm(scaled, LOSS, scaled).sum_gradient(parts, 8.0) == pytest.approx(sums)
    for p, q in zip(model.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(8 * p.grad + 1, q.grad, rtol=0, atol=1e-9)


def test_all_targets_ignored() -> None:
    """A window whose every target is ignored has sums of zero."""
    model, batch = mlp(), rows()
    batch.y.fill_(-100)

    assert WindowNorm(model, LOSS, model).sum_gradient(uneven(batch, [4])) == (0.0, 0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision(dtype: torch.dtype) -> None:
    """In float32, and under autocast to bf16, it is as near to the large batch as can be."""
    model = mlp().float()
    batch = rows()._replace(x=rows().x.float())
    large = copy.deepcopy(model)
    precision = "bf16" if dtype is torch.bfloat16 else "float32"

    def make(net: nn.Module):
        return with_autocast(net, precision, torch.device("cpu"))

    accumulate(LOSS, make(large))([batch], 1.0)
    WindowNorm(model, LOSS, make(model), keep_bytes=0).sum_gradient(uneven(batch, [4, 11]))

    for p, q in zip(model.parameters(), large.parameters(), strict=True):
        gap = (p.grad - q.grad).norm() / max(float(q.grad.norm()), 1.0)
        assert gap < (0.05 if dtype is torch.bfloat16 else 1e-4)


class Branches(nn.Module):
    """Two branches, one longer, whose backward passes a scheduler may mix."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 6)
        self.short = nn.BatchNorm1d(6)
        self.long = nn.Sequential(nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 6), nn.BatchNorm1d(6))
        self.last = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(self.short(x) + torch.tanh(self.long(x)))


def test_several_processes_share_statistics() -> None:
    """Ranks with 1 and 3 micro-batches, their sums exchanged, make the large batch's gradient."""
    torch.manual_seed(0)
    model, batch = Branches().double(), rows()
    expected = results(copy.deepcopy(model), lambda f: accumulate(LOSS, f), [batch])
    ranks = [copy.deepcopy(model) for _ in range(2)]
    shares = [uneven(batch, [9])[:1], uneven(batch, [9, 14, 15])[1:]]
    barrier, brought = threading.Barrier(2, timeout=60), {}

    def total_of(rank: int):
        def total(tensor: Tensor) -> Tensor:
            brought[rank] = tensor
            barrier.wait()
            summed = brought[0] + brought[1]
            barrier.wait()
            return summed

        return total

    def run(rank: int) -> None:
        net = ranks[rank]
        step = WindowNorm(net, LOSS, net, keep_bytes=0, sum_over_processes=total_of(rank))
        step.sum_gradient(shares[rank])

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for (name, p), q in zip(ranks[0].named_parameters(), ranks[1].parameters(), strict=True):
        gap = (expected[f"grad of {name}"] - p.grad - q.grad).abs().max()
        assert gap <= TOLERANCE, name
    for net in ranks:
        for name, buffer in net.named_buffers():
            assert (expected[name] - buffer).abs().max() <= TOLERANCE, name
