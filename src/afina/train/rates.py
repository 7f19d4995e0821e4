"""The learning rate of each step, from a function of the step or from a torch scheduler."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from afina.errors import ConfigError
from afina.train.settings import StopSettings


class Rates:
    """Set every group's learning rate for each step, and detect changes by other code.

    Args:
        optimizer: its groups are changed.
        lrs: learning rate of each group before the schedule.
        schedule: maps a step to the factor of its learning rate; or a scheduler, which takes a
            step after each step of the optimizer, or after each evaluation if it follows the
            monitored metric (`ReduceLROnPlateau`).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lrs: Sequence[float],
        schedule: Callable[[int], float] | LRScheduler,
    ) -> None:
        self.optimizer, self.lrs, self.schedule = optimizer, lrs, schedule
        self._left: list[float] | None = None

    def begin_step(self, step: int) -> float:
        """Set the rates for the step about to be taken; return the first group's rate.

        Raises:
            ConfigError: other code has changed a rate since the last step.
        """
        self._check()
        if not isinstance(self.schedule, LRScheduler):
            factor = self.schedule(step)
            for group, lr in zip(self.optimizer.param_groups, self.lrs, strict=True):
                group["lr"] = lr * factor
        first: float = self.optimizer.param_groups[0]["lr"]
        return first

    def end_step(self) -> None:
        """Advance the scheduler, unless it follows the monitored metric."""
        if isinstance(self.schedule, LRScheduler) and not by_metric(self.schedule):
            _take_step(self.schedule)
        self._left = self._now()

    def after_evaluation(self, value: float) -> None:
        """Advance the scheduler by the monitored metric, if it follows that metric.

        Raises:
            ConfigError: other code has changed a rate since the last step.
        """
        self._check()
        if by_metric(self.schedule):
            self.schedule.step(value)  # type: ignore[union-attr,arg-type] # LRScheduler's: an epoch
            self._left = self._now()

    def _now(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _check(self) -> None:
        now = self._now()
        if self._left is None or all(
            a is b or a == b for a, b in zip(now, self._left, strict=True)
        ):
            return
        raise ConfigError(
            "The learning rate must be changed by the trainer's schedule alone",
            but=f"it was {[float(lr) for lr in self._left]} after the last step and is "
            f"{[float(lr) for lr in now]} now",
            fix="Pass a scheduler, or a function of the step, as schedule= instead of changing the "
            "rate in an observer.",
        )


def by_metric(schedule: object) -> bool:
    """Return whether a schedule follows the monitored metric."""
    return isinstance(schedule, ReduceLROnPlateau)


def check_scheduler(
    schedule: object, optimizer: Optimizer, settings: StopSettings, *, validates: bool
) -> None:
    """Raise if a scheduler would have no effect, or would follow the metric in the wrong direction.

    Args:
        settings: the settings, which say whether higher values of the metric are better.
        validates: whether there are validation rows.

    Raises:
        ConfigError: the scheduler belongs to another optimizer, or has no metric to follow.
    """
    if not isinstance(schedule, LRScheduler):
        return
    name = type(schedule).__name__
    if schedule.optimizer is not optimizer:
        raise ConfigError(
            f"{name} must be made from the optimizer that is passed as optimizer=",
            but="it belongs to another one",
            fix="Make the optimizer first, and pass both.",
        )
    if not isinstance(schedule, ReduceLROnPlateau):
        return
    if not validates:
        raise ConfigError(
            f"{name} needs the monitored metric",
            but="there are no validation rows",
            fix="Pass val=(x, y).",
        )
    higher_is_better = bool(settings.higher_is_better)
    if (schedule.mode == "max") != higher_is_better:
        raise ConfigError(
            f"{name} must have the direction of the monitored metric",
            got=f"mode={schedule.mode!r}, {higher_is_better=}",
            fix=f"Use mode={'max' if higher_is_better else 'min'!r}.",
        )


@contextmanager
def kept_rates(optimizer: Optimizer, schedule: object) -> Iterator[None]:
    """Restore an optimizer's learning rates afterwards, so that the next fit starts from them.

    A scheduler is restored too, with all settings of the groups, because it may change any of them.
    """
    scheduled = isinstance(schedule, LRScheduler)
    groups = [
        {k: v for k, v in group.items() if k != "params" and (scheduled or k == "lr")}
        for group in optimizer.param_groups
    ]
    before = copy.deepcopy(schedule.state_dict()) if isinstance(schedule, LRScheduler) else {}
    try:
        yield
    finally:
        for group, values in zip(optimizer.param_groups, groups, strict=True):
            group.update(values)
        if isinstance(schedule, LRScheduler):
            schedule.load_state_dict(before)


def scheduler_state(schedule: LRScheduler) -> dict[str, Any]:
    """Return a scheduler's state, made of plain Python values."""
    state: dict[str, Any] = _plain(schedule.state_dict())
    return state


def load_scheduler_state(schedule: LRScheduler, state: Mapping[str, Any]) -> None:
    """Restore what `scheduler_state` returned."""
    counted = {
        name: Counter(value)
        for name, value in state.items()
        if isinstance(getattr(schedule, name, None), Counter)
    }
    schedule.load_state_dict({**state, **counted})


def _take_step(schedule: LRScheduler) -> None:
    try:
        schedule.step()
    except ValueError as error:
        raise ConfigError(
            f"{type(schedule).__name__} must last as long as the run",
            but=f"it says: {error}",
            fix="Make it with the number of steps of the whole run, or pass max_steps.",
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item) for item in value)
    return float(value) if isinstance(value, float) else value
