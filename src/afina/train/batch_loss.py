"""A loss that the user computes from the model and a whole batch, whatever the batch is.

`batch_loss(model, batch)` returns the sum of the losses and its weight, such as the number of
tokens, so the parts of a step add up. A batch can be cut into micro-batches if it is a mapping or
tuple of tensors with the same number of rows; any other batch stays whole.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from afina.errors import ConfigError
from afina.nn.eval_mode import eval_mode
from afina.process_state import torch_threads
from afina.train.batches import Batch, Opaque
from afina.train.gate import no_rows
from afina.train.loss import WeightedLoss, make_weighted_loss
from afina.train.own_loss import loss_name

BatchLoss: TypeAlias = Callable[[nn.Module, Any], tuple[Any, ...]]


def loss_of_batches(batch_loss: Any) -> WeightedLoss:
    """Convert a batch loss to a form whose parts add up.

    Raises:
        ConfigError: `batch_loss` is not callable.
    """
    if not callable(batch_loss) or isinstance(batch_loss, type):
        raise ConfigError(
            "batch_loss must be a function (model, batch) -> (sum, weight)",
            got=type(batch_loss).__name__,
            fix="Return the sum of the losses and the number of targets that it adds up.",
        )

    def call(model: nn.Module, batch: Any) -> tuple[Tensor, Any, Mapping[str, Any]]:
        total, weight, named = checked_sums(batch_loss(model, whole(batch)), loss_name(batch_loss))
        if not torch.compiler.is_compiling() and not float(weight):  # sync
            # The mean over no targets is NaN, and so is its product with 0.
            return torch.zeros_like(total, requires_grad=torch.is_grad_enabled()), 0.0, {}
        return total, weight, named

    def values(output: tuple[Tensor, Any, Any], _target: Any) -> tuple[Tensor, Tensor]:
        total, weight, _ = output
        return total, torch.as_tensor(weight, dtype=total.dtype, device=total.device).view(1)

    return WeightedLoss(values, own=batch_loss, call=call)


def choose_loss(keywords: Any) -> WeightedLoss:
    """Return the trainer's loss in a form whose parts add up.

    Args:
        keywords: the trainer, which has the keywords as attributes.

    Raises:
        ConfigError: there is no loss, there are two, or the loss is invalid.
    """
    if keywords.batch_loss is None and keywords.loss is None:
        raise ConfigError(
            "Trainer needs a loss", but="there is none", fix="Pass loss=nn.MSELoss(), for example."
        )
    if keywords.batch_loss is None:
        return make_weighted_loss(keywords.loss, keywords.loss_weight)
    names = ("loss", "loss_weight", "scores", "patience_extends_while")
    other = next((name for name in names if getattr(keywords, name) is not None), None)
    if other is not None:
        raise ConfigError(
            f"batch_loss cannot be combined with {other}",
            but="both are set",
            fix="Leave out one. batch_loss can return (sum, weight, {name: sum}) for scores.",
        )
    return loss_of_batches(keywords.batch_loss)


def whole(batch: Any) -> Any:
    """Return a batch as the loader yielded it."""
    return batch.value if isinstance(batch, Opaque) else batch


def checked_sums(result: Any, name: str) -> tuple[Tensor, Any, Mapping[str, Any]]:
    """Check the result of a batch loss; return a sum, its weight, and other sums by name.

    Raises:
        ConfigError: the result has another form.
    """
    if isinstance(result, tuple | list) and len(result) in (2, 3):
        total, weight, named = (*result, {})[:3]
        single = isinstance(total, Tensor) and total.numel() == 1 and _is_number(weight)
        if single and isinstance(named, Mapping) and all(map(_is_number, named.values())):
            return total.view(1), weight, named
    shown = _described(result)
    if isinstance(result, tuple | list):
        shown = f"({', '.join(map(_described, result))})"
    raise ConfigError(
        "batch_loss must return (sum, weight) or (sum, weight, {name: sum}), each a single number",
        but=f"{name} returned {shown}",
        fix="Multiply a mean by the number of targets that it averages, and return both: "
        "return mean * n, n.",
    )


@torch.no_grad()
def evaluate_sums(
    model: nn.Module, call: Callable[[nn.Module, Any], Any], blocks: Iterable[Iterable[Batch]]
) -> dict[str, float]:
    """Compute the loss and the other sums of a batch loss over all batches, per unit of weight.

    Args:
        call: `(model, batch) -> (sum, weight, {name: sum})`.

    Raises:
        ConfigError: there is no batch, or a name is `loss`.
    """
    totals: dict[str, float] = {}
    weight, n_batches = 0.0, 0
    with torch_threads(None), eval_mode(model):
        for batch in (batch for block in blocks for batch in block):
            total, batch_weight, named = call(model, batch.x)
            n_batches += 1
            weight += float(batch_weight)
            if "loss" in named:
                raise ConfigError(
                    "the sums that batch_loss returns must have names other than loss",
                    got=f"{', '.join(map(str, named))}",
                    fix="Rename that sum; the loss itself is val/loss.",
                )
            for name, value in {"loss": total, **named}.items():
                totals[name] = totals.get(name, 0.0) + float(value)
    if not n_batches:
        raise no_rows("validation data")
    return {name: value / weight if weight else float("nan") for name, value in totals.items()}


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1
    return isinstance(value, int | float) and not isinstance(value, bool)


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
