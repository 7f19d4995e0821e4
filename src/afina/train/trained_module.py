"""The model together with other parameters that are trained: the loss's and the optimizer's."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from afina.errors import ConfigError
from afina.train.loss import WeightedLoss
from afina.train.own_loss import loss_module

LOSS = "(loss)."
"""Prefix of the names of a loss's tensors, so that the model's own names do not change."""


class TrainedModule(nn.Module):
    """A model together with a loss that has tensors, and with other parameters of the optimizer.

    Calling it calls the model. Its state is the model's, and that of the others under names that no
    model has, so that division, clipping, averages, checkpoints and the best weights treat all
    parameters alike.

    Args:
        model: the network.
        loss: the loss, if it is a module with parameters or buffers.
        others: parameters in the optimizer that belong to neither.
    """

    def __init__(
        self, model: nn.Module, loss: nn.Module | None, others: Iterable[nn.Parameter] = ()
    ) -> None:
        super().__init__()
        self.model = model
        self.loss_parts = nn.ModuleList([] if loss is None else [loss])
        self.others = nn.ParameterList(others)
        self.training = model.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model."""
        return self.model(*args, **kwargs)

    def state_dict(self, *, keep_vars: bool = False) -> dict[str, Any]:  # type: ignore[override]
        """Return the model's state, and that of the others under a prefix."""
        state = dict(self.model.state_dict(keep_vars=keep_vars))
        for part in (self.loss_parts, self.others):
            more = part.state_dict(keep_vars=keep_vars)
            kind = "" if part is self.loss_parts else "other."
            state |= {f"{LOSS}{kind}{name}": value for name, value in more.items()}
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:  # type: ignore[override]
        """Load a state that `state_dict` returned."""
        other = f"{LOSS}other."
        own = {k: v for k, v in state_dict.items() if not k.startswith(LOSS)}
        others = {k.removeprefix(other): v for k, v in state_dict.items() if k.startswith(other)}
        loss = {
            k.removeprefix(LOSS): v
            for k, v in state_dict.items()
            if k.startswith(LOSS) and not k.startswith(other)
        }
        self.loss_parts.load_state_dict(loss)
        self.others.load_state_dict(others)
        return self.model.load_state_dict(own)


def with_loss(model: nn.Module, loss: WeightedLoss, optimizer: object = None) -> nn.Module:
    """Return the module that a fit trains: the model, alone or together with the loss's tensors.

    Args:
        optimizer: if it is an optimizer, parameters that only it holds are included too.
    """
    if isinstance(model, TrainedModule):
        return model
    module = next(iter(loss_tensors(loss)), None)
    if module is not None:
        in_model = {id(t) for t in (*model.parameters(), *model.buffers())}
        tensors = [*module.parameters(), *module.buffers()]
        if all(id(tensor) in in_model for tensor in tensors):
            module = None
    known = {id(p) for one in (model, module) if one is not None for p in one.parameters()}
    others = []
    if isinstance(optimizer, Optimizer):
        held = [p for group in optimizer.param_groups for p in group["params"]]
        others = [p for p in held if id(p) not in known]
    return model if module is None and not others else TrainedModule(model, module, others)


def loss_tensors(loss: WeightedLoss) -> list[nn.Module]:
    """List the module of a user-defined loss, if it has parameters or buffers."""
    module = None if loss.own is None else loss_module(loss.own)
    if module is None or not [*module.parameters(), *module.buffers()]:
        return []
    return [module]


def model_of(trained: nn.Module) -> nn.Module:
    """Return the user's model from the module that is trained."""
    return trained.model if isinstance(trained, TrainedModule) else trained


def check_trains_loss(trained: nn.Module, optimizer: Optimizer) -> None:
    """Raise if the user's optimizer leaves parameters of the loss untrained.

    Raises:
        ConfigError: the message names them.
    """
    if not isinstance(trained, TrainedModule):
        return
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [
        name
        for name, p in trained.loss_parts.named_parameters()
        if p.requires_grad and id(p) not in held
    ]
    if missing:
        shown = ", ".join(name.partition(".")[2] for name in missing[:5])
        raise ConfigError(
            "The optimizer must hold the parameters of the loss",
            but=f"it does not hold {shown}",
            fix="Make it from [*model.parameters(), *loss.parameters()], or freeze them with "
            "loss.requires_grad_(False).",
        )
