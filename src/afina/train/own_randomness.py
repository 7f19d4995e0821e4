"""Random numbers that data draws for itself, which a resumed run could not draw again."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from afina.errors import ConfigError

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
DEPTH = 6
"""How deep generators are looked for: a loader's dataset's transforms' generator is 4 deep."""


def refuse_own_randomness(
    data: Any, what: str, *, restored: Sequence[torch.Generator] = ()
) -> None:
    """Refuse data whose random numbers would differ after a resume.

    The trainer's `seed` decides the random numbers that data draws from the generators of torch,
    numpy and `random`; a generator of the data's own is in no checkpoint. An iterable with
    `state_dict` and `load_state_dict` keeps its own state.

    Args:
        data: as passed to `Trainer.fit`, with `run_dir`.
        what: what it is, for the message.
        restored: generators that are saved and restored.

    Raises:
        ConfigError: the message names the generator.
    """
    if hasattr(data, "state_dict") and hasattr(data, "load_state_dict"):
        return
    seen = {id(generator) for generator in restored}
    place = next(_places(data, type(data).__name__, DEPTH, seen), None)
    if place is not None:
        raise ConfigError(
            f"with run_dir, {what} must give the same batches after a resume",
            but=f"{place} is a random generator of its own, which is in no checkpoint",
            fix="Leave it out: the trainer's seed decides what torch's, numpy's and Python's global "
            "generators draw in each epoch. Or give the iterable state_dict and load_state_dict.",
        )


def _places(value: Any, name: str, depth: int, seen: set[int]) -> Iterator[str]:
    """Yield where a generator is kept, by attributes, items and keys."""
    if isinstance(value, GENERATORS):
        if value is not torch.default_generator and id(value) not in seen:
            yield name
        return
    plain = isinstance(value, torch.Tensor | np.ndarray | str | bytes | int | float | type(None))
    if plain or isinstance(value, torch.nn.Module) or depth == 0 or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        parts = [(f"{name}[{key!r}]", item) for key, item in list(value.items())[:100]]
    elif isinstance(value, tuple | list):
        parts = [(f"{name}[{i}]", item) for i, item in enumerate(value[:100])]
    else:
        own = sorted(_attributes(value), key=lambda part: not isinstance(part[1], GENERATORS))
        parts = [(f"{name}.{key}", item) for key, item in own]
    for place, part in parts:
        yield from _places(part, place, depth - 1, seen)


def _attributes(value: Any) -> list[tuple[str, Any]]:
    return [] if isinstance(value, type) else list(getattr(value, "__dict__", {}).items())
