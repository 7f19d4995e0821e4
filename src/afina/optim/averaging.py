"""Average a model's weights and buffers over the steps of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn

from afina.nn.arguments import check_choice
from afina.optim.settings import AveragingName


class Average:
    """A running average of everything in a model's `state_dict`, kept apart from the model.

    `ema`: in update n (the first is 0), average += (1 - d) * (now - average) with
    d = min(decay, (1 + n) / (10 + n)), so that the first values soon lose their weight.
    `swa`: the plain mean of all updates. Before the first update, the average is the model itself.
        Floating-point buffers (running statistics) are averaged like weights; counters are copied.

    Args:
        name: kind of average.
        decay: decay of `ema`, in [0, 1).

    Raises:
        ValueError: the name is unknown, or the decay is out of range.

    Example:
        >>> net = nn.Linear(1, 1)
        >>> average = Average("swa")
        >>> for value in (1.0, 2.0, 6.0):
        ...     _ = nn.init.constant_(net.weight, value)
        ...     average.update(net)
        >>> average.values["weight"].item(), net.weight.item()
        (3.0, 6.0)

    Source: Polyak & Juditsky 1992; Izmailov et al. 2018, arXiv:1803.05407 (swa); the early decay as
        in TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, name: AveragingName, *, decay: float = 0.999) -> None:
        check_choice("averaging", name, get_args(AveragingName))
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"The decay of an average must be in [0, 1); got {decay}.")
        self.name = name
        self.decay = decay
        self.n_updates = 0
        self.values: dict[str, Tensor] = {}
        self._model: nn.Module | None = None
        self._places: list[_Place] | None = None

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the model's current weights and buffers to the average."""
        now = self._now(model)
        if self.n_updates == 0:
            self.values = {name: tensor.detach().clone() for name, tensor in now.items()}
        else:
            floating = [name for name, t in now.items() if t.is_floating_point() or t.is_complex()]
            old, new = [self.values[n] for n in floating], [now[n].detach() for n in floating]
            torch._foreach_lerp_(old, new, self._share())
            for name in now.keys() - set(floating):
                self.values[name].copy_(now[name])
        self.n_updates += 1

    @contextmanager
    def swapped_in(self, model: nn.Module) -> Iterator[None]:
        """Swap the average into the model for the `with` block, without copying or rounding."""
        if self.n_updates == 0:
            yield
            return
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    def _now(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the model's tensors; only the first call builds its state dict."""
        if self._model is not model:
            self._model, self._places = model, _find_places(model)
        if self._places is None:
            return _tensors(model)
        return {place.name: getattr(place.owner, place.leaf) for place in self._places}

    def _share(self) -> float:
        """The weight of the newest value in the average."""
        if self.name == "swa":
            return 1.0 / (self.n_updates + 1)
        return 1.0 - min(self.decay, (1.0 + self.n_updates) / (10.0 + self.n_updates))

    def _swap(self, model: nn.Module) -> None:
        for name, tensor in self._now(model).items():
            tensor.data, self.values[name] = self.values[name], tensor.data


class _Place(NamedTuple):
    name: str
    owner: nn.Module
    leaf: str


def _find_places(model: nn.Module) -> list[_Place] | None:
    """Find the module that owns each tensor; return None if a name does not lead to its tensor."""
    places = []
    for name, tensor in _tensors(model).items():
        path, _, leaf = name.rpartition(".")
        try:
            owner = model.get_submodule(path)
        except AttributeError:
            return None
        if getattr(owner, leaf, None) is not tensor:
            return None
        places.append(_Place(name, owner, leaf))
    return places


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's parameters and buffers by name, tied ones only once."""
    state = model.state_dict(keep_vars=True)
    own = {id(t) for t in (*model.parameters(), *model.buffers())}
    tensors: dict[str, Tensor] = {}
    for name, value in state.items():
        if id(value) in own:
            own.discard(id(value))
            tensors[name] = value
    return tensors
