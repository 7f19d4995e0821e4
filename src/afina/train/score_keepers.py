"""Compute scores over all validation rows: from all outputs together, or batch by batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from afina.errors import ConfigError
from afina.train.nests import join_nests, list_tensors, map_tensors


@runtime_checkable
class StreamingMetric(Protocol):
    """A metric that is updated batch by batch, such as those of torchmetrics."""

    def update(self, outputs: Any, targets: Any, /) -> Any:
        """Add a batch."""
        ...

    def compute(self) -> Any:
        """Return a number, or a mapping of numbers by name, over all batches since `reset`."""
        ...

    def reset(self) -> Any:
        """Forget all batches."""
        ...


Scores: TypeAlias = (
    Callable[[Any, Any, Any], Mapping[str, float]] | StreamingMetric | Mapping[str, StreamingMetric]
)


class ScoreKeeper(Protocol):
    """An object that collects the batches of one evaluation for its scores."""

    def add(self, output: Any, target: Any, weights: Tensor | None) -> None:
        """Add a batch."""
        ...

    def result(self) -> Mapping[str, Any]:
        """Return the scores of all batches by name."""
        ...


def keep_scores(scores: Any) -> ScoreKeeper:
    """Return the object that computes the scores of one evaluation.

    Raises:
        ConfigError: `scores` is neither a function nor made of streaming metrics.
    """
    if isinstance(scores, StreamingMetric) and not isinstance(scores, type):
        return _Streamed({"": scores})
    if isinstance(scores, Mapping) and scores:
        wrong = [name for name, one in scores.items() if not isinstance(one, StreamingMetric)]
        if not wrong:
            return _Streamed(scores)
        raise ConfigError(
            "scores in a mapping must be metrics with update, compute and reset",
            got=f"{type(scores[wrong[0]]).__name__} as {wrong[0]!r}",
            fix="Pass one function (outputs, targets, weights) -> {name: value} for the others.",
        )
    if scores is not None and (isinstance(scores, type) or not callable(scores)):
        raise ConfigError(
            "scores must be a function (outputs, targets, weights) -> {name: value}, or metrics with "
            "update, compute and reset",
            got=f"the class {scores.__name__}" if isinstance(scores, type) else f"{scores!r:.80}",
            fix='Pass scores={"accuracy": torchmetrics.Accuracy(...)}, for example.',
        )
    return _Together(scores)


class _Together:
    """Keep all outputs, for a function that sees them together."""

    def __init__(self, scores: Callable[[Any, Any, Any], Mapping[str, float]] | None) -> None:
        self.scores = scores
        self.kept: list[tuple[Any, Any, Tensor | None]] = []

    def add(self, output: Any, target: Any, weights: Tensor | None) -> None:
        if self.scores is not None:
            self.kept.append((output, target, weights))

    def result(self) -> Mapping[str, Any]:
        if self.scores is None:
            return {}
        outputs, targets, weights = zip(*self.kept, strict=True)
        joined = _join_weights(weights, targets, outputs)
        scores = self.scores(join_nests(outputs), join_nests(targets), joined)
        if not isinstance(scores, Mapping):
            raise ConfigError(
                "scores must return a mapping of numbers by name",
                got=type(scores).__name__,
                fix='Return {"accuracy": value}, for example.',
            )
        return _as_numbers(scores)


class _Streamed:
    """Update metrics with every batch, so that no outputs are kept."""

    def __init__(self, metrics: Mapping[str, StreamingMetric]) -> None:
        self.metrics = metrics
        self.begun = False

    def add(self, output: Any, target: Any, weights: Tensor | None) -> None:
        if weights is not None:
            raise ConfigError(
                "metrics with update and compute cannot use row weights",
                but="the validation rows have weights",
                fix="Leave the weights out, or pass a function (outputs, targets, weights) -> "
                "{name: value} as scores.",
            )
        if not self.begun:
            self.begun = True
            for metric in self.metrics.values():
                metric.reset()
        for metric in self.metrics.values():
            device = getattr(metric, "device", None)
            if isinstance(device, torch.device):
                output, target = (_moved(part, device) for part in (output, target))
            metric.update(output, target)

    def result(self) -> Mapping[str, Any]:
        numbers: dict[str, Any] = {}
        for name, metric in self.metrics.items():
            value = metric.compute()
            if isinstance(value, Mapping):
                prefix = f"{name}/" if name else ""
                numbers |= {f"{prefix}{key}": one for key, one in value.items()}
            else:
                numbers[name or type(metric).__name__] = value
        return _as_numbers(numbers)


def _as_numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return scores as Python numbers."""
    numbers = {}
    for name, score in scores.items():
        try:
            numbers[name] = float(score)
        except (TypeError, ValueError, RuntimeError):  # torch and numpy raise different ones
            shape = getattr(score, "shape", None)
            raise ConfigError(
                f"the score {name!r} must be a single number",
                got=f"shape {tuple(shape)}" if shape else f"{score!r:.80}",
                fix="Average it over classes or rows." if shape else "Return a number.",
            ) from None
    return numbers


def _moved(nest: Any, device: torch.device) -> Any:
    return map_tensors(lambda t: t.to(device), nest)


def _join_weights(
    row_weights: Sequence[Tensor | None], targets: Sequence[Any], outputs: Sequence[Any]
) -> Tensor | None:
    """Concatenate row weights; a batch without weights counts 1 per row if others have weights."""
    if all(weights is None for weights in row_weights):
        return None
    like = next(weights for weights in row_weights if weights is not None)
    parts = []
    for weights, target, output in zip(row_weights, targets, outputs, strict=True):
        n_rows = len((list_tensors(target) or list_tensors(output))[0])
        parts.append(like.new_ones(n_rows) if weights is None else weights)
    return torch.cat(parts)
