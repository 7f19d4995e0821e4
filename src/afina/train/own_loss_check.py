"""Check a user-defined loss in the first step: does it compare rows, and is all of it trained?"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from afina.errors import AfinaWarning, ConfigError
from afina.train.batches import Batch, count_rows
from afina.train.loss import WeightedLoss, weighted_sum
from afina.train.nests import list_tensors, map_tensors
from afina.train.own_loss import loss_module, loss_name
from afina.train.precision import Forward
from afina.train.rng import isolated
from afina.train.snapshots import ModuleState

TOLERANCE = 1e-4
"""Smallest relative difference that counts as a different loss; rounding is far below it."""

Sums = tuple[float, float]


class OwnLossCheck:
    """Check a loss in the first step of a fit, without changing the step.

    Args:
        model: the module that is trained.
        loss: a user-defined loss.
        forward: maps a micro-batch's inputs to outputs.
        alone: whether there is only one process.
    """

    def __init__(
        self, model: nn.Module, loss: WeightedLoss, forward: Forward, *, alone: bool
    ) -> None:
        self.model, self.loss, self.forward, self.alone = model, loss, forward, alone
        self.n_calls = 0

    def before(self, parts: Sequence[Batch]) -> None:
        """Check what the loss returns; warn if micro-batches change it."""
        self.n_calls += 1
        if self.n_calls > 1 or not self.alone or not parts:
            return
        modules = [one for one in (self.model, loss_module(self.loss.own)) if one is not None]
        before = ModuleState(modules)
        try:
            with torch.no_grad(), isolated():
                self._compare(parts[:2])
        finally:
            with torch.no_grad():
                before.restore()

    def after(self) -> None:
        """Raise if the loss uses parameters that are not trained.

        Raises:
            ConfigError: a parameter that is not trained has a gradient.
        """
        if self.n_calls > 1:
            return
        trained = {id(p) for p in self.model.parameters()}
        for name, module in used_modules(self.loss.own):
            for parameter, p in module.named_parameters():
                if p.grad is not None and id(p) not in trained:
                    raise ConfigError(
                        "Every parameter that the loss depends on must be trained",
                        but=f"{parameter!r} of {name!r}, which {loss_name(self.loss.own)} uses, is not",
                        fix=f"Pass {name} as the loss, put its parameters in an optimizer of your "
                        "own, or freeze it with requires_grad_(False).",
                    )

    def _compare(self, parts: Sequence[Batch]) -> None:
        outputs = [self.forward(batch.x) for batch in parts]
        sums = [self._sums(*pair) for pair in zip(parts, outputs, strict=True)]
        if self.loss.call is not None or len(parts) < 2 or sum(map(count_rows, parts)) < 3:
            return
        joined = _joined([(o, b.y, b.weights) for o, b in zip(outputs, parts, strict=True)])
        if joined is None or not list_tensors(outputs[0]):
            return
        try:
            whole = self._sums(Batch(None, *joined[1:]), joined[0])
        except (RuntimeError, ConfigError):
            return
        _warn_if_different(self.loss, whole, sums)

    def _sums(self, batch: Batch, output: Any) -> Sums:
        torch.manual_seed(0)  # a loss that draws random numbers draws the same ones
        values, weights = self.loss.values(output, batch.y)
        total, weight = weighted_sum(values.double(), weights, batch.weights)
        return float(total), float(weight)


def used_modules(loss: object) -> list[tuple[str, nn.Module]]:
    """List the modules that a function refers to, in its closure and its globals."""
    function = getattr(loss, "__func__", loss)
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    cells = zip(code.co_freevars, getattr(function, "__closure__", None) or (), strict=False)
    names: dict[str, Any] = {}
    for name, cell in cells:
        with _empty_cell():
            names[name] = cell.cell_contents
    names |= {name: getattr(function, "__globals__", {}).get(name) for name in code.co_names}
    return [(name, one) for name, one in names.items() if isinstance(one, nn.Module)]


@contextmanager
def _empty_cell() -> Iterator[None]:
    try:
        yield
    except ValueError:
        return


def checked(
    check: OwnLossCheck, gradient: Callable[..., Sums], *, of_mean: bool
) -> Callable[..., Sums]:
    """Wrap a gradient function so that its first call also checks the loss."""

    def checked_gradient(parts: Any, *scale: float) -> Sums:
        check.before([parts] if of_mean else parts)
        result = gradient(parts, *scale)
        check.after()
        return result

    return checked_gradient


def _warn_if_different(loss: WeightedLoss, whole: Sums, parts: Sequence[Sums]) -> None:
    total, weight = (sum(column) for column in zip(*parts, strict=True))
    if not weight or not whole[1]:
        return
    apart, together = total / weight, whole[0] / whole[1]
    if not abs(apart - together) > TOLERANCE * max(abs(apart), abs(together)):
        return
    warnings.warn(
        f"{loss_name(loss.own)} looks across the rows of a batch: for two micro-batches, it is "
        f"{together:.4g} if they are evaluated together, but {apart:.4g} if one after the other. "
        "Micro-batches therefore train a different loss, and the validation loss depends on how many rows are evaluated at "
        "once. "
        "Leave microbatch_size out, or return a loss that is a sum over rows",
        AfinaWarning,
        stacklevel=2,
    )


def _joined(parts: Sequence[Any]) -> Any:
    """Concatenate nested structures along the rows; None if their tensors do not match."""
    rest = [iter(list_tensors(part)) for part in parts[1:]]
    try:
        return map_tensors(lambda t: torch.cat([t, *map(next, rest)]), parts[0])
    except (RuntimeError, StopIteration):
        return None
