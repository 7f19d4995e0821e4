"""Evaluate and predict without leaving a trace: modes are restored, gradients are off."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from afina.errors import NonFiniteError
from afina.nn.eval_mode import eval_mode
from afina.process_state import torch_threads
from afina.train.batches import Batch, call_model, count_rows, no_weight
from afina.train.gate import no_rows
from afina.train.loss import WeightedLoss, weighted_sum
from afina.train.nests import join_nests, list_tensors, named_tensors
from afina.train.processes import Processes
from afina.train.score_keepers import Scores, keep_scores

_Losses = tuple[Tensor, Tensor | None, Tensor | None]
"""For one batch: the values of the loss, their weights, and the weights of the rows."""


@torch.no_grad()
def evaluate_blocks(
    model: nn.Module,
    loss: WeightedLoss,
    blocks: Iterable[Iterable[Batch]],
    scores: Scores | None,
) -> dict[str, float]:
    """Compute the loss, and the scores of all outputs together, in eval mode.

    Args:
        blocks: the rows; batches go through the model one at a time, and losses are summed per
            block.

    Returns:
        `loss`, the weighted mean over all targets, and each score by its name.

    Raises:
        ConfigError: there are no rows, all of them have weight 0, or the scores are unusable.
    """
    total = weight = 0.0
    any_rows = any_weight = False
    keeper = keep_scores(scores)
    with torch_threads(None), eval_mode(model):
        for block in blocks:
            losses: list[_Losses] = []
            for batch in block:
                if list_tensors(batch) and not count_rows(batch):
                    continue
                any_rows = True
                any_weight = any_weight or batch.weights is None or bool((batch.weights > 0).any())
                output = call_model(model, batch.x)
                losses.append((*loss.values(output, batch.y), batch.weights))
                keeper.add(output, batch.y, batch.weights)
            for values in _joined_losses(losses):
                block_total, block_weight = weighted_sum(*values)
                total += float(block_total.double())
                weight += float(block_weight)
    if not any_rows:
        raise no_rows("validation data")
    if not any_weight:
        raise no_weight("validation")
    return {"loss": total / weight if weight else float("nan"), **keeper.result()}


def shared_metrics(
    evaluate: Callable[[], Mapping[str, float]], processes: Processes
) -> Callable[[], dict[str, float]]:
    """Return a function that computes the metrics `val/...`; all processes get those of rank 0."""

    def metrics() -> dict[str, float]:
        own = {f"val/{name}": float(value) for name, value in evaluate().items()}
        shared: dict[str, float] = processes.broadcast_json(own)
        return shared

    return metrics


@torch.no_grad()
def predict_batches(
    model: nn.Module, batches: Iterable[Batch], *, allow_infinite: bool = False
) -> Any:
    """Return the outputs for all rows, in eval mode, in the type that the model returns.

    Args:
        allow_infinite: allow infinite outputs, such as the logits of classes that are ruled out;
            NaN is never allowed.

    Raises:
        ConfigError: there is no batch.
        NonFiniteError: an output is NaN or infinite; the message names the row.
    """
    with torch_threads(None), eval_mode(model):
        outputs = [call_model(model, batch.x) for batch in batches]
    if not outputs:
        raise no_rows("data to predict")
    first_row = 0
    for output in outputs:
        for name, tensor in named_tensors(output):
            _check_finite(name, tensor, first_row, allow_infinite=allow_infinite)
        first_row += next((len(t) for t in list_tensors(output) if t.ndim), 0)
    return join_nests(outputs)


def _joined_losses(losses: list[_Losses]) -> list[_Losses]:
    """Concatenate the losses of a block's batches if they have values for each row."""
    if any(values.ndim == 0 for values, _, _ in losses):
        return losses
    n_values = [len(values) for values, _, _ in losses]
    for column in ([one[1] for one in losses], [one[2] for one in losses]):
        lengths = [None if tensor is None else len(tensor) for tensor in column]
        if lengths not in (n_values, [None] * len(losses)):
            return losses
    if len({values.shape[1:] for values, _, _ in losses}) != 1:
        return losses
    all_values, *others = zip(*losses, strict=True)
    weights, row_weights = (None if one[0] is None else torch.cat(one) for one in others)
    return [(torch.cat(all_values), weights, row_weights)]


def _check_finite(name: str, output: Tensor, first_row: int, *, allow_infinite: bool) -> None:
    if not (output.is_floating_point() or output.is_complex()):
        return
    wrong = output.isnan() if allow_infinite else ~output.isfinite()
    if not wrong.any():  # sync if it is on a GPU
        return
    place = f" of {name!r}" if name else ""
    row, values = "", output
    if output.ndim:
        number = int(wrong.reshape(len(output), -1).any(1).nonzero()[0])
        row, values = f"row {first_row + number}: ", output[number]
    shown = values.tolist() if values.numel() <= 20 else f"a tensor of {tuple(values.shape)}"
    raise NonFiniteError(
        f"{row}every output{place} must be {'a number' if allow_infinite else 'finite'}",
        got=f"{shown}",
        fix="Look for missing or extreme values in the inputs, or in the model's weights."
        + (
            ""
            if allow_infinite or output.isnan().any()
            else " Pass allow_infinite=True if the model rules out classes with -inf."
        ),
    )
