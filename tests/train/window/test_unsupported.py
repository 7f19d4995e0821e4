"""Models that batch normalization over a window does not support are refused by name."""

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from afina.errors import ConfigError
from afina.train.batches import Batch
from afina.train.loss import make_weighted_loss
from afina.train.window.norm import WindowNorm
from afina.train.window.unsupported import check_window_norm

LOSS = make_weighted_loss(nn.MSELoss())


class OwnNorm(nn.BatchNorm1d):
    """Batch normalization that does something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Calling(nn.Module):
    """A network whose forward calls a function, beside a normalization that can be shared."""

    def __init__(self, function, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.norm = norm
        self.linear = nn.Linear(3, 3)
        self.function = function
        self.n_calls = 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        self.n_calls += 1
        return self.function(self, x if self.norm is None else self.norm(x))


def parts() -> list[Batch]:
    torch.manual_seed(0)
    return [Batch(torch.randn(n, 3), torch.randn(n, 3)) for n in (4, 2, 3)]


def moved(norm: nn.Module) -> nn.Module:
    norm.forward = norm.forward
    return norm


def compiled(module: nn.Module) -> nn.Module:
    module.compile(backend="eager")
    return module


REFUSED = {
    "sync": lambda: nn.SyncBatchNorm(3),
    "own forward": lambda: OwnNorm(3),
    "moved forward": lambda: moved(nn.BatchNorm1d(3)),
    "lazy": nn.LazyBatchNorm1d,
    "instance norm": lambda: nn.InstanceNorm1d(3, track_running_stats=True),
    "traced": lambda: torch.jit.trace(nn.BatchNorm1d(3).eval(), torch.ones(2, 3)),
    "compiled": lambda: compiled(nn.Linear(3, 3)),
    "optimized": lambda: torch.compile(nn.Linear(3, 3), backend="eager"),
    "data parallel": lambda: nn.DataParallel(nn.Linear(3, 3)),
    "spectral norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_modules_are_refused_by_name(kind: str) -> None:
    """Modules that cannot be paused, run again or shared are named before anything runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = REFUSED[kind]()
    with pytest.raises(ConfigError, match=r"but 'inner\.1"):
        check_window_norm(nn.ModuleDict({"inner": nn.Sequential(nn.Linear(3, 3), module)}))


def test_ordinary_modules_pass() -> None:
    """Torch's normalizations pass, also frozen, with another input check, and over instances."""

    class AnyShape(nn.BatchNorm1d):
        def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
            pass

    lazy = nn.LazyBatchNorm1d()
    lazy(torch.ones(2, 3))
    norms = [nn.BatchNorm1d(3), nn.BatchNorm2d(3).eval(), nn.BatchNorm3d(3), AnyShape(3), lazy]

    check_window_norm(nn.Sequential(*norms, nn.InstanceNorm1d(3), nn.GroupNorm(1, 3)))


def functional_norm(_, x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True)


def torch_norm(_, x: Tensor) -> Tensor:
    return torch.batch_norm(x, None, None, None, None, True, 0.0, 1e-5, False)


def differentiating(_, x: Tensor) -> Tensor:
    (grad,) = torch.autograd.grad(x.square().sum(), x, create_graph=True)
    return grad


def own_generator(net: Calling, x: Tensor) -> Tensor:
    return x * torch.rand(x.shape, generator=net.generator)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (functional_norm, "'' .Calling. calls batch_norm|a Calling calls batch_norm"),
        (torch_norm, "calls batch_norm as a function"),
        (lambda net, x: net.other(x) if len(x) == 4 else x, "same batch normalizations"),
        (lambda net, x: net.norm(x) if len(x) == 4 else net.other(x), "reached 'other'"),
        (lambda net, x: checkpoint(net.other, x, use_reentrant=False), "'other' runs in"),
        (differentiating, "must not compute gradients in its forward"),
        (lambda net, x: net.other(own_generator(net, x)), "compute the same when it is run again"),
        (own_generator, "it computes other values"),
        (
            lambda net, x: x.tanh() if net.n_calls > 3 else x * x,
            "compute the same when it is run again",
        ),
        (lambda net, x: net.norm(x) if net.n_calls > 3 else x, "it calls 'norm' again"),
    ],
)
def test_forwards_are_refused_and_nothing_moves(function, words: str) -> None:
    """Faults that only a run can show are refused in the first window; nothing has changed."""
    net = Calling(function, nn.BatchNorm1d(3))
    net.other = nn.BatchNorm1d(3)
    net.generator = torch.Generator().manual_seed(0)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    step = WindowNorm(net, LOSS, net, n_groups=50, keep_bytes=0)

    with pytest.raises(ConfigError, match=words):
        step.sum_gradient(parts())

    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any("forward" in vars(module) for module in net.modules())


def test_functional_normalization_alone_is_refused() -> None:
    """A model whose only normalization is a function is refused too, and the module named."""
    model = nn.Sequential(nn.Linear(3, 3), Calling(functional_norm))

    with pytest.raises(ConfigError, match=r"but '1' \(Calling\) calls batch_norm"):
        WindowNorm(model, LOSS, model).sum_gradient(parts())


def test_functional_normalization_by_known_statistics_passes() -> None:
    """Normalizing by running statistics uses no other row, and is allowed."""

    def known(_, x: Tensor) -> Tensor:
        return F.batch_norm(x, torch.zeros(3), torch.ones(3))

    model = Calling(known, nn.BatchNorm1d(3))

    WindowNorm(model, LOSS, model).sum_gradient(parts())


def test_inputs_changed_in_place_are_refused() -> None:
    """A forward that overwrites its inputs could not be run again on them."""

    class Overwriting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x.mul_(2))

    net = Overwriting()

    with pytest.raises(ConfigError, match="must not change its inputs"):
        WindowNorm(net, LOSS, net).sum_gradient(parts())


def test_one_value_a_channel_is_refused() -> None:
    """A window of one row has no variance; two micro-batches of one row each have one."""
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    row = parts()[0]
    ones = [Batch(row.x[i : i + 1], row.y[i : i + 1]) for i in range(2)]
    WindowNorm(net, LOSS, net).sum_gradient(ones)

    with pytest.raises(ValueError, match="two values per channel"):
        WindowNorm(net, LOSS, net, sum_over_processes=lambda t: t).sum_gradient(ones[:1])


def test_groups() -> None:
    """At least one group is needed."""
    with pytest.raises(ConfigError, match="n_groups must be at least 1"):
        WindowNorm(nn.Linear(1, 1), LOSS, nn.Identity(), n_groups=0)
