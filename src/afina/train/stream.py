"""Training data from any iterable of batches, whose random numbers a resumed run draws again."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from afina.errors import ConfigError
from afina.process_state import Drawing
from afina.train.batches import Batch, Opaque, as_batch, count_rows, move_batch, no_weight
from afina.train.nests import map_tensors
from afina.train.rng import reseed_everything


class StreamData:
    """Batches from any iterable, such as a `torch.utils.data.DataLoader`.

    Each batch is `(x, y)` or `(x, y, weights)`. With a `batch_size`, a step takes batches until it
    has that many rows; without, each batch is a step. At resume, an iterable with `state_dict` and
    `load_state_dict` returns to its place through them; any other is read again from the start of
    the epoch, with the same random numbers: generators of a loader or its sampler get the state
    that they had then.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        *,
        batch_size: int | None,
        seed: int,
        device: torch.device,
        batches_per_step: int = 1,
        convert: Callable[[Any], Batch] = as_batch,
    ) -> None:
        self.batches = batches
        self.batches_per_step = batches_per_step
        self.convert = convert
        self.batch_size = batch_size
        self.seed = seed
        self.device = device
        self.stateful = hasattr(batches, "state_dict") and hasattr(batches, "load_state_dict")
        self.sought = False
        self.weighs: bool | None = None
        self.generators = [] if self.stateful else loader_generators(batches)
        self.at_start: list[str] | None = None
        length = length_of(batches) if batch_size is None else None
        self.steps_per_epoch = None if length is None else -(-length // batches_per_step)

    def windows(self, epoch: int, start: int) -> Iterator[list[Batch]]:
        """Yield the windows of an epoch from number `start` on."""
        skip = 0 if self.sought else start
        self.sought = False
        self.weighs = True if start > skip else None  # what came before is not read again
        with Drawing():
            source = self._begin(epoch)
        for index in range(2**62):
            # Items may draw random numbers while they are made; these depend only on the item's
            # place.
            with Drawing():
                reseed_everything(self.seed, f"data/{epoch}", index + start - skip)
                window = self._take(source)
                if window and self.generators and index + 1 == self.steps_per_epoch:
                    source = self._look_ahead(source)
            if not window:
                self._check_weight()
                self.at_start = None
                return
            if index >= skip:
                yield window

    def _begin(self, epoch: int) -> Iterator[Any]:
        set_epoch(self.batches, epoch)
        restart_workers(self.batches)
        self.at_start = self._generator_states()
        reseed_everything(self.seed, "order", epoch)
        return iter(self.batches)

    def _look_ahead(self, source: Iterator[Any]) -> Iterator[Any]:
        """Ask for one batch more than there should be: a sampler may draw one last number."""
        more = next(source, None)
        if more is not None:
            return chain([more], source)
        self.at_start = None
        return source

    def _take(self, source: Iterator[Any]) -> list[Batch]:
        window: list[Batch] = []
        n_rows = 0
        while len(window) < self.batches_per_step or n_rows < (self.batch_size or 0):
            item = next(source, None)
            if item is None:
                break
            batch = map_tensors(_learnable, self.convert(item))
            size = count_rows(batch)
            if self.batch_size is not None and isinstance(batch.x, Opaque):
                raise ConfigError(
                    "batch_size needs batches whose rows can be counted",
                    but="a batch has parts that are not tensors, or that differ in their number of rows",
                    fix="Leave batch_size out, and use batches_per_step to merge batches.",
                )
            if self.batch_size is not None and size > self.batch_size:
                raise ConfigError(
                    f"a batch must not have more rows than batch_size={self.batch_size}",
                    got=f"{size} rows",
                    fix="Leave batch_size out to make each batch a step, or use "
                    "microbatch_size to run it in parts.",
                )
            n_rows += size
            if not self.weighs:  # stop looking once a row of the epoch has weight
                self.weighs = batch.weights is None or bool((batch.weights > 0).any())
            window.append(move_batch(batch, self.device))
        return window

    def _generator_states(self) -> list[str]:
        return [bytes(g.get_state().tolist()).hex() for g in self.generators]

    def _check_weight(self) -> None:
        if self.weighs is False:
            raise no_weight("training")

    def describe(self, epoch: int, index: int) -> str:
        """Name the batch that a window begins with."""
        return f"batch {index} of epoch {epoch} (counted from 0)"

    def position(self) -> Any:
        """Return what `seek` needs to find this place again."""
        if self.stateful:
            return self.batches.state_dict()  # type: ignore[attr-defined]
        if not self.generators:
            return None
        return {"generators": self.at_start or self._generator_states()}

    def seek(self, position: Any) -> None:
        """Return to a place that `position` returned."""
        if position is not None and not self.stateful:
            for generator, state in zip(self.generators, position["generators"], strict=True):
                generator.set_state(torch.tensor(list(bytes.fromhex(state)), dtype=torch.uint8))
        elif position is not None:
            self.batches.load_state_dict(position)  # type: ignore[attr-defined]
            self.sought = True


def length_of(batches: Any) -> int | None:
    """Return the number of batches; None if it is unknown."""
    try:
        return len(batches)
    except (TypeError, NotImplementedError, AttributeError):  # as for a loader of a stream
        return None


def loader_generators(batches: Any) -> list[torch.Generator]:
    """Return the generators of a DataLoader and its samplers, each once."""
    if not isinstance(batches, DataLoader):
        return []
    inner = getattr(batches.batch_sampler, "sampler", None)
    owners = (batches, batches.sampler, batches.batch_sampler, inner)
    own = [getattr(owner, "generator", None) for owner in owners]
    unique = {id(one): one for one in own if isinstance(one, torch.Generator)}
    return list(unique.values())


def restart_workers(batches: Any) -> None:
    """Restart the persistent workers of a loader, so that their random numbers follow from the seed.

    A checkpoint does not hold how many numbers they have drawn.
    """
    if isinstance(batches, DataLoader) and batches.persistent_workers:
        batches._iterator = None  # noqa: SLF001 - torch has no public way


def set_epoch(batches: Any, epoch: int) -> None:
    """Call `set_epoch` of the iterable, its samplers and its dataset, if they have this method."""
    sampler, batch_sampler = (getattr(batches, n, None) for n in ("sampler", "batch_sampler"))
    inner = getattr(batch_sampler, "sampler", None)
    called: list[Any] = []
    for one in (batches, sampler, batch_sampler, inner, getattr(batches, "dataset", None)):
        if callable(getattr(one, "set_epoch", None)) and not any(one is other for other in called):
            one.set_epoch(epoch)  # type: ignore[union-attr]
            called.append(one)


def _learnable(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy if it was made in inference mode, which excludes learning."""
    return tensor.clone() if tensor.is_inference() else tensor
