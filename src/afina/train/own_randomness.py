"""Find random generators in the data whose numbers a resumed run could not repeat."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from afina.errors import ConfigError

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
DEPTH = 6
"""How deep to look: the generator of a transform of a loader's dataset is 4 levels deep."""


def refuse_own_randomness(
    data: Any, what: str, *, restored: Sequence[torch.Generator] = ()
) -> None:
    """Raise if the random numbers of data would differ after a resume.

    The trainer's `seed` determines the numbers that data draws from the global generators of torch,
    numpy and `random`, but no checkpoint holds the state of a generator that belongs to the data.
    An iterable with `state_dict` and `load_state_dict` keeps its own state.

    Args:
        data: data as passed to `Trainer.fit`, with `run_dir`.
        what: the name of the data in the message.
        restored: generators that checkpoints hold.

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
            but=f"{place} is a random generator whose state no checkpoint holds",
            fix="Leave it out: the trainer's seed determines what the global generators of torch, "
            "numpy and Python draw in each epoch. Or give the iterable state_dict and "
            "load_state_dict.",
        )


def _places(value: Any, name: str, depth: int, seen: set[int]) -> Iterator[str]:
    """Yield the paths of generators, by attribute, index and key."""
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
