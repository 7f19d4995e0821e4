"""Batches, and training data in memory.

A *window* is what one optimizer step sees: a list of batches. The order of the rows in an epoch is
a function of (seed, epoch), so one number is enough to say where in the epoch a run is.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from afina.errors import ConfigError
from afina.train.nests import list_tensors, map_tensors
from afina.train.rng import make_generator

DEFAULT_BATCH_SIZE = 256
"""Rows per step for data in memory, unless `batch_size` is set."""

CHUNK_BYTES = 16 * 2**20
"""Rows are gathered for many windows at once, up to about this size, then split without a copy."""

EVAL_ROWS = 2048
"""Most rows at a time in evaluation and prediction, unless `eval_batch_size` is set."""


class Batch(NamedTuple):
    """Rows that go through the model together; `x` and `y` are tensors or nested structures of them."""

    x: Any
    y: Any
    weights: Tensor | None = None


class Opaque:
    """A batch that cannot be cut into rows, such as a list of images of different sizes."""

    def __init__(self, value: Any) -> None:
        self.value = value


def as_whole_batch(item: Any) -> Batch:
    """Make a batch from whatever a loader yields, for a loss that takes the whole batch.

    Rows can be cut if all parts of a mapping or tuple are tensors with the same number of rows.
    """
    parts = list(item.values()) if isinstance(item, Mapping) else item
    parts = [parts] if isinstance(parts, Tensor) else parts
    rows = isinstance(parts, tuple | list) and all(
        isinstance(part, Tensor) and part.ndim > 0 for part in parts
    )
    if rows and len({len(part) for part in parts}) == 1:
        return Batch(item, None)
    return Batch(Opaque(item), None)


class Data(Protocol):
    """Training data, as the loop needs it."""

    steps_per_epoch: int | None

    def windows(self, epoch: int, start: int) -> Iterator[list[Batch]]:
        """Yield the windows of an epoch from number `start` on, each the batches of a step."""
        ...

    def describe(self, epoch: int, index: int) -> str:
        """Name the rows of a window, for an error message."""
        ...

    def position(self) -> Any:
        """Return what a checkpoint must hold to resume here; None if the step number is enough."""
        ...

    def seek(self, position: Any) -> None:
        """Return to a place that `position` returned."""
        ...


class TensorData:
    """Rows in memory, shuffled anew for each epoch.

    Args:
        batch: all rows.
        batch_size: rows per window; the last window of an epoch may have fewer.
        seed: seed of the order.
        device: where the model is.
        no_single: merge a last window of one row into the one before it, because batch
            normalization cannot train on a single row.
    """

    def __init__(
        self,
        batch: Batch,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        no_single: bool,
    ) -> None:
        self.n_rows = count_rows(batch)
        if batch.weights is not None and self.n_rows and not bool((batch.weights > 0).any()):
            raise no_weight("training")
        self.batch = batch
        self.seed = seed
        self.device = device
        self.sizes = _window_sizes(self.n_rows, batch_size, no_single=no_single)
        self.steps_per_epoch: int | None = len(self.sizes)
        row_bytes = sum(t.element_size() * t[:1].numel() for t in list_tensors(batch))
        self.chunk = max(1, CHUNK_BYTES // max(1, row_bytes * batch_size))

    def order(self, epoch: int) -> Tensor:
        """Return the order of the rows in an epoch, a permutation of 0 .. n_rows - 1."""
        return torch.randperm(
            self.n_rows, generator=make_generator(self.seed, "order", epoch), device="cpu"
        )

    def windows(self, epoch: int, start: int) -> Iterator[list[Batch]]:
        """Yield the windows of an epoch from number `start` on."""
        order = self.order(epoch)
        first = sum(self.sizes[:start])
        for at in range(start, len(self.sizes), self.chunk):
            sizes = self.sizes[at : at + self.chunk]
            index = order[first : first + sum(sizes)]
            first += len(index)
            chunk = move_batch(take_rows(self.batch, index), self.device)
            cut = [t.split(sizes) for t in list_tensors(chunk)]  # type: ignore[no-untyped-call]
            parts = zip(*cut, strict=True)
            for tensors in parts:
                yield [_rebuild(chunk, iter(tensors))]

    def describe(self, epoch: int, index: int) -> str:
        """Name the rows of a window."""
        first = sum(self.sizes[:index])
        rows = self.order(epoch)[first : first + self.sizes[index]].tolist()
        shown = ", ".join(map(str, rows[:10]))
        return f"training rows {shown}{', ...' if len(rows) > 10 else ''} (counted from 0)"

    def position(self) -> None:
        """Return None: the step number is enough."""

    def seek(self, position: Any) -> None:
        """Do nothing: the step number is enough."""


def as_batch(item: Any) -> Batch:
    """Make a batch from `(x, y)` or `(x, y, weights)`.

    Raises:
        ConfigError: the item has another form, or its third part is not row weights.
    """
    if isinstance(item, tuple | list) and len(item) in (2, 3):
        batch = Batch(*map(as_tensors, item))
        check_weights(batch)
        return batch
    if isinstance(item, Mapping):
        raise ConfigError(
            "a batch must be (x, y) or (x, y, weights)",
            got=f"a {type(item).__name__} with {_shown(item)}",
            fix='Make it a pair, such as (batch, batch["labels"]); the model gets a mapping x as '
            "keyword arguments. If the model computes the loss itself, pass batch_loss instead of loss.",
        )
    length = f" of {len(item)}" if isinstance(item, tuple | list) else ""
    raise ConfigError(
        "data must be (x, y) or (x, y, weights), or an iterable of them",
        got=f"{type(item).__name__}{length}",
        fix="Put inputs, targets and optional row weights in a tuple; (x, None) if there are no "
        "targets, ((a, b), y) for two inputs.",
    )


def as_tensors(value: Any) -> Any:
    """Turn the numpy arrays of a nested structure into tensors that share their memory.

    Raises:
        ConfigError: the structure holds something else.
    """
    if value is None or isinstance(value, Tensor):
        return value
    masked = isinstance(value, np.ma.MaskedArray) and bool(np.ma.getmaskarray(value).any())
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc" and not masked:
        native = value.astype(value.dtype.newbyteorder("="), copy=False)
        return torch.as_tensor(native if min(value.strides, default=0) >= 0 else native.copy())
    if isinstance(value, Mapping) and value:
        return {key: as_tensors(item) for key, item in value.items()}
    if isinstance(value, tuple | list) and value and not isinstance(value, PackedSequence):
        return tuple(map(as_tensors, value))
    kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    kind = "an array with masked values" if masked else kind
    raise ConfigError(
        "inputs, targets and weights must be tensors, numpy arrays, or tuples or dicts of them",
        got=kind,
        fix="Convert it with torch.as_tensor (a frame with .to_numpy() first)"
        + (
            "; pass padded rows and their lengths, and pack them inside the model."
            if isinstance(value, PackedSequence)
            else "."
        ),
    )


def check_weights(batch: Batch) -> None:
    """Check the third part of a batch, its row weights.

    Raises:
        ConfigError: the weights are not one floating-point number of at least 0 for each row.
    """
    weights: Any = batch.weights
    if weights is None:
        return
    problem, n_rows = None, count_rows(batch._replace(weights=None))
    if not isinstance(weights, Tensor):
        problem = f"a {type(weights).__name__}"
    elif not weights.is_floating_point():
        problem = f"{weights.dtype} of shape {tuple(weights.shape)}"
    elif weights.ndim == 0 or not weights.numel() == len(weights) == n_rows:
        problem = f"shape {tuple(weights.shape)} for {n_rows} rows"
    elif not bool(((weights >= 0) & weights.isfinite()).all()):  # sync if they are on a GPU
        bad = weights[~((weights >= 0) & weights.isfinite())]
        problem = f"{bad.flatten()[0].item():g}"
    if problem is not None:
        raise ConfigError(
            "the third part of a batch must be its row weights: one floating-point number for each "
            "row, finite and at least 0",
            got=problem,
            fix="Put several inputs in one tuple, ((a, b), y), and several targets, (x, (y1, y2)); "
            "convert weights with .float().",
        )


def no_weight(which: str) -> ConfigError:
    """Return the error to raise when all rows have weight 0."""
    return ConfigError(
        f"{which} rows must have a weight above 0",
        but="the weights of all rows are 0",
        fix="Leave the weights out, or give some rows a weight.",
    )


def _shown(mapping: Mapping[Any, Any]) -> str:
    names = [repr(key) for key in mapping]
    return f"the keys {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"


def count_rows(batch: Batch) -> int:
    """Count the rows of a batch; 1 if it cannot be cut.

    Raises:
        ConfigError: the tensors of the batch differ in their number of rows.
    """
    if isinstance(batch.x, Opaque):
        return 1
    tensors = list_tensors(batch)
    if any(t.ndim == 0 for t in tensors):
        raise ConfigError(
            "each tensor of a batch must have a row for each row of x",
            got="a single number",
            fix="Pass batches of rows; wrap a torch Dataset of rows in a DataLoader.",
        )
    counts = {len(t) for t in tensors}
    if len(counts) != 1:
        raise ConfigError(
            "x, y and weights must have the same number of rows",
            got=" and ".join(map(str, sorted(counts))) or "no tensors",
            fix="Pass one target, and one weight if any, for each row of x; a tuple is one set of "
            "rows, so put several batches in a list.",
        )
    return counts.pop()


def ordered_batches(batch: Batch, size: int, device: torch.device) -> Iterator[Batch]:
    """Split rows into batches in order, for evaluation and prediction."""
    n_rows = count_rows(batch)
    for first in range(0, max(n_rows, 1), size):
        rows = min(size, n_rows - first)
        yield move_batch(cut_rows(batch, first, rows), device)


def split_batch(batch: Batch, most: int, n_rows: int) -> list[Batch]:
    """Split a batch into the fewest even parts of at most `most` rows."""
    if n_rows <= most:
        return [batch]
    n_parts = -(-n_rows // most)
    sizes = [n_rows // n_parts + (i < n_rows % n_parts) for i in range(n_parts)]
    parts, first = [], 0
    for size in sizes:
        parts.append(cut_rows(batch, first, size))
        first += size
    return parts


def cut_rows(batch: Batch, first: int, n_rows: int) -> Batch:
    """Return consecutive rows of a batch, without a copy."""
    cut: Batch = map_tensors(lambda t: t.narrow(0, first, n_rows), batch)
    return cut


def take_rows(batch: Batch, index: Tensor) -> Batch:
    """Return a copy of the rows at an index."""
    taken: Batch = map_tensors(lambda t: t.index_select(0, index.to(t.device)), batch)
    return taken


def call_model(model: nn.Module, x: Any) -> Any:
    """Call a model with a tensor, a tuple of arguments or a dict of keyword arguments."""
    if isinstance(x, tuple | list):
        return model(*x)
    return model(**x) if isinstance(x, dict) else model(x)


def move_batch(batch: Batch, device: torch.device) -> Batch:
    """Move a batch to the model's device; tensors already there are not copied."""
    if device.type == "cpu":
        return batch
    if isinstance(batch.x, Opaque):
        return batch._replace(x=Opaque(map_tensors(lambda t: t.to(device), batch.x.value)))
    moved: Batch = map_tensors(lambda t: t.to(device, non_blocking=True), batch)
    return moved


def _rebuild(like: Batch, tensors: Iterator[Tensor]) -> Batch:
    """Return a batch of the same structure that holds these tensors."""
    if isinstance(like.x, Tensor) and isinstance(like.y, Tensor):  # the common case, in a hot loop
        return Batch(next(tensors), next(tensors), None if like.weights is None else next(tensors))
    batch: Batch = map_tensors(lambda _: next(tensors), like)
    return batch


def _window_sizes(n_rows: int, batch_size: int, *, no_single: bool) -> list[int]:
    sizes = [min(batch_size, n_rows - first) for first in range(0, n_rows, batch_size)]
    if no_single and len(sizes) > 1 and sizes[-1] == 1:
        sizes.pop()
        sizes[-1] += 1
    return sizes
