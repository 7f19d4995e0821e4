"""The compiled gradient: forward, loss and backward of a micro-batch as one graph.

The backward pass is traced together with the forward pass, instead of being left to autograd. No
tensors are stored between the two, and a single call runs both, so small networks train faster than
in a hand-written loop on the CPU (docs/evidence/loop.md).

Each number of rows gets its own static graph. Which graph runs then depends on the shapes alone, so
a resumed run repeats the uninterrupted one bit for bit.
"""

import sysconfig
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from afina.errors import ConfigError
from afina.train.batches import Batch
from afina.train.gradient import SumGradient
from afina.train.loss import WeightedLoss, weighted_sum
from afina.train.precision import Forward
from afina.train.snapshots import kept_buffers

MOST_SHAPES = 64
"""The most graphs that one fit may compile; an epoch of rows in memory needs two to four."""

Sums = Callable[..., tuple[Tensor, Tensor | float, list[Tensor | None]]]


@dataclass(frozen=True)
class CompiledGradient:
    """The two ways to compute a window's gradient.

    Args:
        sum_gradient: `(micro-batches, scale) -> (sum of losses, sum of weights)`; adds the gradient
            of scale times the sum of losses to `.grad`.
        mean_gradient: `(batch) -> (mean loss, weight)`, for a window that is one micro-batch;
            leaves the gradient of the mean in `.grad`. The division is part of the graph.
    """

    sum_gradient: SumGradient
    mean_gradient: Callable[[Batch], tuple[float, float]]


@contextmanager
def compiled_gradient(
    model: nn.Module, loss: WeightedLoss, forward: Forward, device: torch.device
) -> Iterator[CompiledGradient]:
    """Compile the computation of the gradient for the `with` block; the model is not changed.

    A graph is compiled when a shape first occurs. Every call checks everything that the trace
    relied on (modes, attributes, types) and recompiles what changed. Random numbers come from
    torch's generator, the same ones as without compilation.

    Args:
        model: the model to differentiate.
        loss: loss in the form of sums and weights.
        forward: maps the inputs of a micro-batch to outputs.
        device: the model's device.

    Raises:
        ConfigError: there is no compiler; or, at the first call, the model cannot be traced as a
            whole.
    """
    check_compiler(device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about its own code while it is imported
        import torch._inductor.compile_fx  # noqa: PLC0415 - takes seconds; only compile needs it
    from torch._dynamo import config, exc  # noqa: PLC0415 - as above

    params = list(model.parameters())
    sums = _compile(traced_sums(loss, forward, params))
    sums_of_mean = _compile(traced_sums(loss, forward, params, of_mean=True))

    def run(sums: Sums, batch: Batch, scale: Tensor | None) -> tuple[float, float]:
        try:
            total, weight, grads = sums(batch.x, batch.y, batch.weights, scale)
        except (exc.TorchDynamoException, exc.FailOnRecompileLimitHit) as error:
            with torch.no_grad(), kept_buffers(model):  # their own error says more
                loss.values(forward(batch.x), batch.y)
            raise _cannot_compile(
                error, too_many=isinstance(error, exc.FailOnRecompileLimitHit)
            ) from error
        weight = float(weight)  # sync: .item()
        if weight:
            _accumulate(params, grads)
        return total.item(), weight  # sync: .item()

    def sum_gradient(parts: Sequence[Batch], scale: float) -> tuple[float, float]:
        factor = None if scale == 1.0 else torch.tensor(scale, device=device)
        sum_of_losses = sum_of_weights = 0.0
        for batch in parts:
            total, weight = run(sums, batch, factor)
            sum_of_losses += total
            sum_of_weights += weight
        return sum_of_losses, sum_of_weights

    def mean_gradient(batch: Batch) -> tuple[float, float]:
        total, weight = run(sums_of_mean, batch, None)
        return total / weight if weight else 0.0, weight

    with config.patch(trace_autograd_ops=True):
        yield CompiledGradient(sum_gradient, mean_gradient)


def traced_sums(
    loss: WeightedLoss,
    forward: Forward,
    params: Sequence[nn.Parameter],
    *,
    of_mean: bool = False,
) -> Sums:
    """Return the function to compile, which maps a micro-batch to its sums and gradients.

    Args:
        params: the parameters, in the order of their gradients (None for frozen and unused ones).
        of_mean: compute the gradient of the mean loss, not of the sum.

    Returns:
        `(x, y, row weights, scale) -> (sum of losses, sum of weights, gradients)`; the gradients
        are multiplied by the scale.
    """

    def sums(
        x: Any, y: Any, row_weights: Tensor | None, scale: Tensor | None
    ) -> tuple[Tensor, Tensor | float, list[Tensor | None]]:
        total, weight = weighted_sum(*loss.values(forward(x), y), row_weights)
        goal = total if scale is None else total * scale
        if of_mean:
            goal = goal / weight
        trained = [p for p in params if p.requires_grad]
        trained_grads = iter(torch.autograd.grad(goal, trained, allow_unused=True))
        grads = [next(trained_grads) if p.requires_grad else None for p in params]
        return total.detach(), weight.detach() if isinstance(weight, Tensor) else weight, grads

    return sums


def check_compiler(device: torch.device) -> None:
    """Check that everything needed to compile for a device is installed.

    Raises:
        ConfigError: something is not installed; the message says what to install.
    """
    if device.type != "cpu":
        from torch.utils._triton import has_triton  # noqa: PLC0415 - only compile needs it

        if not has_triton():
            raise ConfigError(
                f"compile=True needs Triton on {device.type}",
                but="it cannot be used here",
                fix="Install triton, or leave compile out.",
            )
        return
    from torch._inductor import cpp_builder, exc  # noqa: PLC0415 - takes seconds

    try:
        cpp_builder.get_cpp_compiler()
    except (exc.InvalidCxxCompiler, RuntimeError) as error:
        raise ConfigError(
            "compile=True needs a C++ compiler on the CPU",
            but="none was found",
            fix="Install g++ (Debian and Ubuntu: g++, Fedora: gcc-c++, macOS: xcode-select "
            "--install), name a compiler in the environment variable CXX, or leave compile out.",
        ) from error
    include = Path(sysconfig.get_path("include"))
    if not (include / "Python.h").is_file():
        raise ConfigError(
            "compile=True needs Python's headers",
            but=f"{include} holds no Python.h",
            fix="Install them (Debian and Ubuntu: python3-dev, Fedora: python3-devel), or leave "
            "compile out.",
        )


def _compile(sums: Sums) -> Sums:
    compiled: Sums = torch.compile(  # type: ignore[call-overload] # lacks the last two arguments
        sums,
        fullgraph=True,
        dynamic=False,
        options={"fallback_random": True, "deterministic": True},
        recompile_limit=MOST_SHAPES,
        isolate_recompiles=True,
    )
    return compiled


def _accumulate(params: Sequence[nn.Parameter], grads: Sequence[Tensor | None]) -> None:
    """Add to `.grad` as autograd does: each gradient has its own memory and its parameter's layout."""
    memory = set()
    for p, grad in zip(params, grads, strict=True):
        if grad is None:
            continue
        if p.grad is not None:
            p.grad.add_(grad)
            continue
        # Parameters that are added to each other share one gradient tensor; dividing it in place
        # for each of them would divide it twice.
        place = grad.untyped_storage().data_ptr()
        if place in memory or grad.stride() != p.stride():
            grad = torch.empty_like(p).copy_(grad)  # noqa: PLW2901 - the same gradient, copied
        memory.add(place)
        p.grad = grad


def _cannot_compile(error: Exception, *, too_many: bool) -> ConfigError:
    if too_many:
        return ConfigError(
            f"compile=True allows micro-batches of at most {MOST_SHAPES} different shapes",
            but="there are more, or the model changes at every step",
            fix="Pad to fewer shapes, or leave compile out.",
        )
    lines = [line.strip() for line in str(error).splitlines()]
    reasons = (line for line in lines if line and not line.endswith("raised:"))
    return ConfigError(
        "compile=True needs a model and loss that can be traced as a whole",
        but=f"torch says: {next(reasons, 'no reason')}",
        fix="Leave compile out.",
    )
