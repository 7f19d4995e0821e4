"""Batches, from tensors in memory or from any iterable of batches.

A *window* is what one optimizer step sees: a list of batches. The order of the rows in an epoch is
a function of (seed, epoch), so one number is enough to say where in the epoch a run is.
"""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from afina.errors import ConfigError
from afina.process_state import Drawing
from afina.train.rng import make_generator, reseed_everything

DEFAULT_BATCH_SIZE = 256
"""Rows per step for data in memory, unless given."""

CHUNK_BYTES = 16 * 2**20
"""Rows are gathered for many windows at once, up to about this size, then split without a copy."""

EVAL_ROWS = 2048
"""Rows at a time in evaluation and prediction, for data in memory."""


class Batch(NamedTuple):
    """Rows that go through the model together; `x` and `y` are tensors or nests of them."""

    x: Any
    y: Any
    weights: Tensor | None = None


class Data(Protocol):
    """Training data, as the loop needs it."""

    steps_per_epoch: int | None

    def windows(self, epoch: int, start: int) -> Iterator[list[Batch]]:
        """Yield the windows of an epoch from number `start` on: each is the batches of one step."""
        ...

    def describe(self, epoch: int, index: int) -> str:
        """Name the rows of a window, for an error message."""
        ...

    def position(self) -> Any:
        """Return what a checkpoint must hold to resume here; None if the step number is enough."""
        ...

    def seek(self, position: Any) -> None:
        """Go to a place that `position` returned."""
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


class StreamData:
    """Batches from any iterable, such as a `torch.utils.data.DataLoader`.

    Each batch is `(x, y)` or `(x, y, weights)`. With a `batch_size`, a step takes batches until it
    has that many rows; without, each batch is a step. At resume, an iterable with `state_dict` and
    `load_state_dict` returns to its place through them; any other is read again from the start of
    the epoch, with the same random numbers.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        *,
        batch_size: int | None,
        seed: int,
        device: torch.device,
    ) -> None:
        self.batches = batches
        self.batch_size = batch_size
        self.seed = seed
        self.device = device
        self.stateful = hasattr(batches, "state_dict") and hasattr(batches, "load_state_dict")
        self.sought = False
        known = isinstance(batches, Sized) and batch_size is None
        self.steps_per_epoch: int | None = len(batches) if known else None  # type: ignore[arg-type]

    def windows(self, epoch: int, start: int) -> Iterator[list[Batch]]:
        """Yield the windows of an epoch from number `start` on."""
        skip = 0 if self.sought else start
        self.sought = False
        with Drawing():
            reseed_everything(self.seed, "order", epoch)
            source = iter(self.batches)
        for index in range(2**62):
            # Items may draw random numbers while they are made: a function of their place.
            with Drawing():
                reseed_everything(self.seed, f"data/{epoch}", index + start - skip)
                window = self._take(source)
            if not window:
                return
            if index >= skip:
                yield window

    def _take(self, source: Iterator[Any]) -> list[Batch]:
        window: list[Batch] = []
        n_rows = 0
        while not window or n_rows < (self.batch_size or 0):
            item = next(source, None)
            if item is None:
                break
            batch = map_tensors(_learnable, as_batch(item))
            size = count_rows(batch)
            if self.batch_size is not None and size > self.batch_size:
                raise ConfigError(
                    f"a batch must not have more rows than batch_size={self.batch_size}",
                    got=f"{size} rows",
                    fix="Leave batch_size out to make each batch a step, or use "
                    "microbatch_size to run it in parts.",
                )
            n_rows += size
            window.append(move_batch(batch, self.device))
        return window

    def describe(self, epoch: int, index: int) -> str:
        """Name the batch that a window begins with."""
        return f"batch {index} of epoch {epoch} (counted from 0)"

    def position(self) -> Any:
        """Return what `seek` needs to find this place again."""
        return self.batches.state_dict() if self.stateful else None  # type: ignore[attr-defined]

    def seek(self, position: Any) -> None:
        """Go to a place that `position` returned."""
        if position is not None:
            self.batches.load_state_dict(position)  # type: ignore[attr-defined]
            self.sought = True


def make_data(
    data: Any,
    *,
    batch_size: int | None,
    seed: int,
    device: torch.device,
    no_single: bool,
) -> Data:
    """Make training data from what was passed to `Trainer.fit`; see the two classes."""
    if is_in_memory(data):
        return TensorData(
            as_batch(data),
            batch_size=batch_size or DEFAULT_BATCH_SIZE,
            seed=seed,
            device=device,
            no_single=no_single,
        )
    return StreamData(data, batch_size=batch_size, seed=seed, device=device)


def eval_batches(data: Any, size: int, device: torch.device) -> Iterator[Batch]:
    """Yield the batches of validation rows, in order."""
    if is_in_memory(data):
        return ordered_batches(as_batch(data), size, device)
    return (move_batch(as_batch(item), device) for item in data)


def undisturbed(data: Any) -> AbstractContextManager[None]:
    """Return the context in which to read data: loaders draw from torch's global generator."""
    return nullcontext() if isinstance(data, Tensor | np.ndarray | dict | tuple) else Drawing()


def as_batch(item: Any) -> Batch:
    """Make a batch from `(x, y)` or `(x, y, weights)`.

    Raises:
        ConfigError: it is anything else.
    """
    if isinstance(item, Batch):
        return item
    if isinstance(item, tuple | list) and len(item) in (2, 3):
        return Batch(*map(as_tensors, item))
    raise ConfigError(
        "data must be (x, y) or (x, y, weights), or an iterable of them",
        got=type(item).__name__,
        fix="Put inputs, targets and optional row weights in a tuple.",
    )


def as_tensors(value: Any) -> Any:
    """Turn the numpy arrays in a nest into tensors that share their memory.

    Raises:
        ConfigError: the nest holds something else.
    """
    if value is None or isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        return torch.as_tensor(value)
    if isinstance(value, dict):
        return {key: as_tensors(item) for key, item in value.items()}
    if isinstance(value, tuple | list) and value:
        return tuple(map(as_tensors, value))
    raise ConfigError(
        "inputs, targets and weights must be tensors, numpy arrays, or tuples or dicts of them",
        got=type(value).__name__,
        fix="Convert it with torch.as_tensor.",
    )


def input_batches(x: Any, size: int, device: torch.device) -> Iterator[Batch]:
    """Yield batches of inputs; from an iterable of batches, the first item of each."""
    if isinstance(x, Tensor | np.ndarray | tuple | dict):
        return ordered_batches(Batch(as_tensors(x), None), size, device)
    firsts = (item[0] if isinstance(item, tuple | list) else item for item in x)
    return (move_batch(Batch(as_tensors(first), None), device) for first in firsts)


def is_in_memory(data: Any) -> bool:
    """Tell whether data is a tuple of tensors, not an iterable of batches."""
    return isinstance(data, tuple) and len(data) in (2, 3) and not isinstance(data[1], tuple | list)


def count_rows(batch: Batch) -> int:
    """Count the rows of a batch.

    Raises:
        ConfigError: its tensors differ in their number of rows.
    """
    counts = {len(t) for t in list_tensors(batch)}
    if len(counts) != 1:
        raise ConfigError(
            "x, y and weights must have the same number of rows",
            got=" and ".join(map(str, sorted(counts))) or "no tensors",
            fix="Pass one target, and one weight if any, for each row of x.",
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
    """Move a batch to the model's device; what is there already is not copied."""
    if device.type == "cpu":
        return batch
    moved: Batch = map_tensors(lambda t: t.to(device, non_blocking=True), batch)
    return moved


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Apply a function to every tensor in a nest of tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Batch):
        return Batch(*(map_tensors(function, part) for part in value))
    if isinstance(value, dict):
        return {key: map_tensors(function, item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return tuple(map_tensors(function, item) for item in value)
    return value


def list_tensors(value: Any) -> list[Tensor]:
    """List every tensor in a nest of tuples, lists and dicts, in the order of `map_tensors`."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [tensor for item in value for tensor in list_tensors(item)]
    return []


def _learnable(tensor: Tensor) -> Tensor:
    """Return the tensor, or its copy if it was made in inference mode, where nothing is learned."""
    return tensor.clone() if tensor.is_inference() else tensor


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
