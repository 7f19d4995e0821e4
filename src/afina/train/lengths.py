"""Count the steps of an epoch when batches are merged up to a number of rows."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from afina.errors import ConfigError
from afina.train.batches import as_batch, count_rows


def merged_steps(data: Any, batch_size: int | None) -> int | None:
    """Return the number of steps of an epoch; None if the sizes of the batches are not known yet.

    Args:
        data: a DataLoader or a sequence of batches.
        batch_size: each step takes batches until it has that many rows.

    Example:
        >>> import torch
        >>> merged_steps(DataLoader(torch.zeros(10), batch_size=2), 4)
        3
    """
    sizes = _sizes(data)
    if batch_size is None or sizes is None:
        return None
    steps = n_rows = 0
    for size in sizes:
        n_rows += size
        if n_rows >= batch_size:
            steps, n_rows = steps + 1, 0
    return steps + (n_rows > 0)


def _sizes(data: Any) -> Iterable[int] | None:
    if isinstance(data, DataLoader):
        return _loader_sizes(data)
    if not isinstance(data, Sequence):
        return None
    try:
        return [count_rows(as_batch(item)) for item in data]
    except (ConfigError, TypeError):
        return None


def _loader_sizes(loader: DataLoader[Any]) -> Iterable[int] | None:
    sampler = loader.batch_sampler
    if isinstance(loader.dataset, IterableDataset) or type(sampler) is not BatchSampler:
        return None
    try:
        n_rows = len(sampler.sampler)  # type: ignore[arg-type] # a sampler need not have a length
    except TypeError:
        return None
    full, rest = divmod(n_rows, sampler.batch_size)
    return [sampler.batch_size] * full + [rest] * (rest > 0 and not sampler.drop_last)
