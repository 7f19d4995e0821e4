"""Evaluate and predict without leaving a trace: modes are restored, gradients are off."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from afina.errors import NonFiniteError
from afina.nn.eval_mode import eval_mode
from afina.process_state import torch_threads
from afina.train.batches import Batch, call_model
from afina.train.loss import WeightedLoss, weighted_sum

Scores = Callable[[Any, Any, Any], Mapping[str, float]]


@torch.no_grad()
def evaluate_batches(
    model: nn.Module, loss: WeightedLoss, batches: Iterable[Batch], scores: Scores | None
) -> dict[str, float]:
    """Compute the loss, and the scores of all outputs together, in eval mode.

    Returns:
        `loss`, the weighted mean over all targets, and each score by its name.
    """
    total = weight = 0.0
    kept: list[tuple[Any, Any, Any]] = []
    with torch_threads(None), eval_mode(model):
        for batch in batches:
            output = call_model(model, batch.x)
            values, weights = loss.values(output, batch.y)
            batch_total, batch_weight = weighted_sum(values, weights, batch.weights)
            total += float(batch_total.double())
            weight += float(batch_weight)
            if scores is not None:
                kept.append((output, batch.y, batch.weights))
    if not kept and weight == 0:
        return {"loss": float("nan")}
    result = {"loss": total / weight if weight else float("nan")}
    if scores is not None:
        outputs, targets, row_weights = zip(*kept, strict=True)
        joined = None if row_weights[0] is None else torch.cat(row_weights)
        result |= scores(_join(outputs), _join(targets), joined)
    return result


@torch.no_grad()
def predict_batches(model: nn.Module, batches: Iterable[Batch]) -> Any:
    """Return the outputs for all rows, in eval mode.

    Raises:
        NonFiniteError: an output is NaN or infinite; the message names the row.
    """
    with torch_threads(None), eval_mode(model):
        outputs = [call_model(model, batch.x) for batch in batches]
    joined = _join(outputs)
    if isinstance(joined, Tensor) and joined.is_floating_point() and not joined.isfinite().all():
        bad = int((~joined.isfinite()).reshape(len(joined), -1).any(1).nonzero()[0])
        raise NonFiniteError(
            f"row {bad}: every output must be finite",
            got=f"{joined[bad].tolist()}",
            fix="Look for missing or extreme values in the inputs, or in the model's weights.",
        )
    return joined


def _join(parts: Any) -> Any:
    """Concatenate batches of outputs (tensors, tuples or dicts of them) along the rows."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if isinstance(first, dict):
        return {key: _join([part[key] for part in parts]) for key in first}
    return tuple(_join(list(column)) for column in zip(*parts, strict=True))
